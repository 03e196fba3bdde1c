"""A person answers a task's question in Airflow's own UI."""

import time
from urllib.parse import quote

import pytest
from playwright.sync_api import expect

from tests.browser.site import Site, Tab

pytestmark = pytest.mark.browser

DAG = "approve_a_file"


def test_an_approval_is_answered_on_its_page_and_the_run_goes_on(tab: Tab, site: Site) -> None:
    site.lite.wait_for_dag(DAG)
    run_id = site.lite.trigger(DAG)
    page = tab.page
    api = f"/api/v2/dags/{DAG}/dagRuns/{quote(run_id, safe='')}/taskInstances/approve/-1"
    tab.open(f"/dags/{DAG}")
    deadline = time.monotonic() + 60
    while tab.ask(api)["state"] != "deferred":
        assert time.monotonic() < deadline, "the approval never waited for its answer"
        page.wait_for_timeout(200)
    tab.open(f"/dags/{DAG}/runs/{quote(run_id, safe=':+')}/tasks/approve/required_actions")
    expect(page.get_by_text("Publish").first).to_be_visible()
    page.get_by_role("button", name="Approve", exact=True).click()
    assert site.lite.wait_for_run(DAG, run_id) == "success"
    detail = tab.ask(f"{api}/hitlDetails")
    assert detail["responded_by_user"] == {"id": "admin", "name": "admin"}
    assert detail["chosen_options"] == ["Approve"]
    tab.settle()
