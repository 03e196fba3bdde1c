"""What operators do in Airflow's own UI: clear and mark, backfill, make asset events."""

import contextlib
import re
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.site import Site, Tab

pytestmark = pytest.mark.browser


def until(tab: Tab, condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < deadline, what
        tab.page.wait_for_timeout(200)


def opened(tab: Tab, button: Locator, shown: str) -> Locator:
    """Open a dialog that shows a text; the UI drops a click while the page's data are still coming."""
    dialog = tab.page.get_by_role("dialog").filter(has_text=shown)
    for _ in range(3):
        button.click()
        with contextlib.suppress(AssertionError):
            expect(dialog).to_be_visible(timeout=8_000)
            break
    expect(dialog).to_be_visible()
    return dialog


def test_an_instance_is_cleared_and_marked_as_its_dialog_said(tab: Tab, site: Site) -> None:
    run_id = site.lite.trigger("etl_daily")
    assert site.lite.wait_for_run("etl_daily", run_id) == "success"
    api = f"/api/v2/dags/etl_daily/dagRuns/{quote(run_id, safe='')}"

    def instances() -> dict[str, tuple[str, int]]:
        found = tab.ask(f"{api}/taskInstances")["task_instances"]
        return {one["task_id"]: (one["state"], one["try_number"]) for one in found}

    page = tab.open(f"/dags/etl_daily/runs/{quote(run_id, safe=':+')}/tasks/transform")
    dialog = opened(tab, page.get_by_role("button", name="Clear Task Instance", exact=True), "Clear Task Instance")
    expect(dialog.get_by_text("Affected Tasks: 2")).to_be_visible()
    dialog.get_by_role("button", name="Upstream", exact=True).click()
    expect(dialog.get_by_text("Affected Tasks: 3")).to_be_visible()
    dialog.get_by_role("button", name="Upstream", exact=True).click()
    expect(dialog.get_by_text("Affected Tasks: 2")).to_be_visible()
    for task_id in ("load", "transform"):
        expect(dialog.get_by_role("row").filter(has_text=task_id)).to_have_count(1)
    dialog.get_by_role("button", name="Confirm").click()
    expect(dialog).to_be_hidden()
    again = {"extract": ("success", 1), "load": ("success", 2), "transform": ("success", 2)}
    until(tab, lambda: instances() == again, "the cleared tasks did not run again")

    page.get_by_role("button", name="Mark Task Instance as...", exact=True).click()
    page.get_by_role("menuitem", name="Failed").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("Affected Tasks: 2")).to_be_visible()
    dialog.get_by_role("button", name="Downstream", exact=True).click()
    expect(dialog.get_by_text("Affected Tasks: 1")).to_be_visible()
    dialog.get_by_role("button", name="Confirm").click()
    expect(dialog).to_be_hidden()
    until(tab, lambda: instances() == {**again, "transform": ("failed", 2)}, "the task was not marked")
    tab.settle()


def test_a_backfill_is_created_paused_and_cancelled(tab: Tab, site: Site) -> None:
    site.lite.wait_for_dag("hourly_orders")

    def backfill() -> Any:
        found = tab.ask("/api/v2/backfills?dag_id=hourly_orders&order_by=-id")["backfills"]
        return found[0] if found else {"completed_at": "none yet"}

    page = tab.open("/dags/hourly_orders")
    expect(page.get_by_role("heading", name="hourly_orders", exact=True)).to_be_visible()
    dialog = opened(tab, page.get_by_test_id("trigger-dag-button"), "Run this Dag for a range of dates")
    dialog.get_by_text("Backfill", exact=True).click()
    dialog.locator('input[name="from_date"]').fill("2026-03-01T00:00")
    dialog.locator('input[name="to_date"]').fill("2026-03-10T23:00")
    expect(dialog.get_by_text("240 runs will be triggered.")).to_be_visible()
    dialog.get_by_role("button", name="Run Backfill").click()
    expect(dialog).to_be_hidden()
    page.get_by_role("button", name="Pause backfill", exact=True).click()
    until(tab, lambda: bool(backfill().get("is_paused")), "the backfill was not paused")
    expect(page.get_by_role("button", name="Unpause backfill", exact=True)).to_be_visible()
    page.get_by_role("button", name="Cancel backfill", exact=True).click()
    until(tab, lambda: backfill()["completed_at"] is not None, "the backfill was not cancelled")
    expect(page.get_by_text("Backfill in progress")).to_be_hidden()
    runs = tab.ask("/api/v2/dags/hourly_orders/dagRuns?run_type=backfill&state=queued&limit=1")
    assert runs["total_entries"] == 0
    tab.settle()


def test_an_asset_is_given_an_event_and_materialised(tab: Tab, site: Site) -> None:
    site.lite.wait_for_dag("collect_readings")
    page = tab.open("/assets")
    page.get_by_role("link", name="readings", exact=True).click()
    expect(page).to_have_url(re.compile(r"/assets/\d+$"))
    asset_id = page.url.rpartition("/")[2]

    def events() -> list[str | None]:
        found = tab.ask(f"/api/v2/assets/events?asset_id={asset_id}")["asset_events"]
        return sorted((one["source_dag_id"] for one in found), key=str)

    def come(wanted: list[str | None]) -> Callable[[], bool]:
        return lambda: events() == wanted

    before = events()
    for choice, button, source in (
        ("Manual", "Create Event", None),
        ("Materialize", "Trigger", "collect_readings"),
    ):
        tab.settle()
        dialog = opened(tab, page.get_by_role("button", name="Create Event", exact=True).first, "Create Asset Event")
        dialog.get_by_text(choice, exact=True).click()
        dialog.get_by_role("button", name=button, exact=True).click()
        expect(dialog).to_be_hidden()
        before = sorted([*before, source], key=str)
        until(tab, come(before), f"no event after {choice}")
    tab.start_over()
    tab.open(f"/assets/{asset_id}")
    expect(page.get_by_text("collect_readings").first).to_be_visible()
    tab.settle()
