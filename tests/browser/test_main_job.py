"""The main job in Airflow's own UI: what a user opens on a finished run, and what they look for there."""

import contextlib
import re
from dataclasses import dataclass
from urllib.parse import quote

import pytest
from playwright.sync_api import expect

from tests.browser.site import Site, Tab

pytestmark = pytest.mark.browser


@dataclass(frozen=True, slots=True)
class Case:
    """One of the front page's DAGs: what its pages must show."""

    dag_id: str
    tasks: tuple[str, ...]
    schedule: str
    tag: str
    task: str
    log: str
    xcom: str
    code: str

    def __str__(self) -> str:
        return self.dag_id


CASES = [
    Case(
        "etl_daily",
        ("extract", "transform", "load"),
        "0 6 * * *",
        "etl",
        "transform",
        "skipping order 3: 'not a number' is not an amount",
        "120.5",
        "load(transform(extract()))",
    ),
    Case(
        "hparam_search",
        ("trial", "trial__1", "trial__2", "trial__3", "trial__4", "select_best"),
        "",
        "ml",
        "select_best",
        "best of 5: lr=0.5",
        "loss",
        "select_best([trial(lr) for lr in [0.001, 0.01, 0.05, 0.1, 0.5]])",
    ),
]
each_dag = pytest.mark.parametrize("case", CASES, ids=str)


def _run(site: Site, case: Case) -> str:
    return f"/dags/{case.dag_id}/runs/{quote(site.runs[case.dag_id], safe=':+')}"


def test_home_shows_health_and_history(tab: Tab) -> None:
    page = tab.open("/")
    expect(page.get_by_role("heading", name="Dag Runs")).to_be_visible()
    expect(page.get_by_text("MetaDatabase")).to_be_visible()
    expect(page.get_by_text("Active Dags")).to_be_visible()
    expect(page.get_by_text("Manage Pools")).to_be_visible()
    tab.settle()


@each_dag
def test_the_list_shows_the_dag_and_leads_to_it(tab: Tab, case: Case) -> None:
    page = tab.open("/dags")
    cards = page.get_by_test_id("card-list").locator("> *")
    card = cards.filter(has=page.get_by_role("link", name=case.dag_id, exact=True))
    expect(card).to_be_visible()
    expect(card).to_contain_text(case.tag)
    if case.schedule:
        expect(card).to_contain_text(case.schedule)
    tab.settle()
    card.get_by_role("link", name=case.dag_id, exact=True).click()
    expect(page).to_have_url(re.compile(f"/dags/{case.dag_id}$"))
    expect(page.get_by_role("heading", name=case.dag_id)).to_be_visible()
    tab.settle()


@each_dag
def test_the_grid_shows_every_task_of_the_run(tab: Tab, case: Case, site: Site) -> None:
    page = tab.open(f"/dags/{case.dag_id}")
    for task in case.tasks:
        expect(page.get_by_role("link", name=task, exact=True).first).to_be_visible()
    squares = page.locator(f'a[href*="{site.runs[case.dag_id].partition(".")[0]}"][href*="/tasks/"]')
    expect(squares).to_have_count(len(case.tasks))
    tab.settle()


@each_dag
def test_the_graph_shows_every_task(tab: Tab, case: Case) -> None:
    page = tab.open(f"/dags/{case.dag_id}")
    first = page.locator(f'.react-flow__node[data-id="{case.tasks[0]}"]')
    for _ in range(3):  # the UI drops a click, and with it the switch, while the page's data are still coming
        page.get_by_label("Show Graph").click()
        with contextlib.suppress(AssertionError):
            expect(first).to_be_visible(timeout=8_000)
            break
    for task in case.tasks:
        expect(page.locator(f'.react-flow__node[data-id="{task}"]')).to_be_visible()
    edges = page.locator(".react-flow__edge")
    expect(edges).to_have_count(len(case.tasks) - 1)
    tab.settle()
    page.get_by_label("Show Grid").click()  # the UI remembers the view


@each_dag
def test_the_run_lists_its_task_instances(tab: Tab, case: Case, site: Site) -> None:
    page = tab.open(_run(site, case))
    table = page.get_by_role("table")
    expect(table.get_by_text("Success")).to_have_count(len(case.tasks))
    for task in case.tasks:
        expect(table.get_by_role("link", name=task, exact=True)).to_be_visible()
    tab.settle()


@each_dag
def test_the_task_instance_shows_its_log(tab: Tab, case: Case, site: Site) -> None:
    page = tab.open(f"{_run(site, case)}/tasks/{case.task}")
    expect(page.get_by_text(case.log)).to_be_visible()
    tab.settle()


@each_dag
def test_the_task_instance_shows_its_xcom(tab: Tab, case: Case, site: Site) -> None:
    page = tab.open(f"{_run(site, case)}/tasks/{case.task}")
    page.get_by_role("link", name="XCom").click()
    expect(page.get_by_text("return_value")).to_be_visible()
    page.get_by_test_id("expand-all-button").click()
    expect(page.get_by_text(case.xcom).first).to_be_attached()
    tab.settle()


@each_dag
@pytest.mark.parametrize("part", ["details", "rendered_templates", "asset_events", "events"])
def test_the_other_tabs_of_a_task_instance_open(tab: Tab, case: Case, site: Site, part: str) -> None:
    page = tab.open(f"{_run(site, case)}/tasks/{case.task}/{part}")
    expect(page.get_by_text(case.task).first).to_be_visible()
    tab.settle()


@each_dag
@pytest.mark.parametrize("part", ["asset_events", "events", "details"])
def test_the_other_tabs_of_a_run_open(tab: Tab, case: Case, site: Site, part: str) -> None:
    page = tab.open(f"{_run(site, case)}/{part}")
    expect(page.get_by_text(site.runs[case.dag_id]).first).to_be_visible()
    tab.settle()


@each_dag
@pytest.mark.parametrize("part", ["runs", "tasks", "calendar", "backfills", "events", "details"])
def test_the_other_tabs_of_a_dag_open(tab: Tab, case: Case, part: str) -> None:
    if part == "backfills" and not case.schedule:
        pytest.skip("Airflow shows this tab for scheduled DAGs")
    page = tab.open(f"/dags/{case.dag_id}/{part}")
    expect(page.get_by_text(case.dag_id).first).to_be_visible()
    tab.settle()


@each_dag
def test_the_code_tab_shows_the_file_of_the_run(tab: Tab, case: Case, site: Site) -> None:
    tab.start_over()  # the editor keeps its place from file to file
    page = tab.open(f"{_run(site, case)}/code")
    editor = page.locator(".view-lines").filter(has_text="airflow.sdk")
    expect(editor).to_be_visible()
    editor.click()
    page.keyboard.press("Control+End")
    expect(page.locator(".view-lines").first).to_contain_text(case.code.replace(" ", "\u00a0"))
    tab.settle()


@each_dag
def test_a_run_is_triggered_and_seen_to_finish(tab: Tab, case: Case) -> None:
    page = tab.open(f"/dags/{case.dag_id}")
    expect(page.get_by_role("heading", name=case.dag_id, exact=True)).to_be_visible()
    page.get_by_test_id("trigger-dag-button").click()
    submit = page.get_by_test_id("trigger-dag-submit")
    expect(page.get_by_role("dialog").filter(has=submit)).to_contain_text(case.dag_id)
    submit.click()
    expect(page).to_have_url(re.compile(f"/dags/{case.dag_id}/runs/manual__"))
    expect(page.get_by_role("table").get_by_text("Success")).to_have_count(len(case.tasks))
    tab.settle()


@each_dag
def test_a_dag_is_paused_and_unpaused(tab: Tab, case: Case, site: Site) -> None:
    page = tab.open(f"/dags/{case.dag_id}")
    expect(page.get_by_role("heading", name=case.dag_id, exact=True)).to_be_visible()
    switch = page.locator('[data-scope="switch"][data-part="control"]').first
    expect(switch).to_have_attribute("data-state", "checked")
    for paused, shown in ((True, "unchecked"), (False, "checked")):
        with page.expect_response(lambda answer: answer.request.method == "PATCH") as patched:
            switch.click()
        assert patched.value.status == 200
        expect(switch).to_have_attribute("data-state", shown)
        assert site.lite.get(f"/api/v2/dags/{case.dag_id}")["is_paused"] is paused
    tab.settle()


@pytest.mark.parametrize(
    "path",
    [
        "/dag_runs",
        "/task_instances",
        "/assets",
        "/events",
        "/jobs",
        "/xcoms",
        "/required_actions",
        "/variables",
        "/pools",
        "/providers",
        "/plugins",
        "/connections",
        "/configs",
    ],
)
def test_every_page_of_the_menus_opens(tab: Tab, path: str) -> None:
    tab.open(path)
    tab.settle()
