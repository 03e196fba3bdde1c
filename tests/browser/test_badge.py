"""The silver Lite badge."""

import pytest
from playwright.sync_api import expect

from tests.browser.site import Site, Tab

pytestmark = pytest.mark.browser


def test_it_is_seen_everywhere_and_stays_while_one_walks(tab: Tab) -> None:
    page = tab.open("/")
    badge = page.get_by_role("button", name="Leoflow Lite")
    expect(badge).to_be_visible()
    expect(badge).to_have_text("Lite")
    page.get_by_test_id("nav-dags-link").click()
    expect(page.get_by_text("etl_daily").first).to_be_visible()
    expect(badge).to_be_visible()
    tab.settle()


def test_it_covers_no_control(tab: Tab) -> None:
    """Every link and button can be clicked in its middle."""
    page = tab.open("/dags")
    expect(page.get_by_text("etl_daily").first).to_be_visible()
    tab.settle()
    covered = page.evaluate(
        """() => [...document.querySelectorAll('#root a, #root button, #root input')].filter(control => {
            const box = control.getBoundingClientRect();
            const top = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
            return top?.tagName === 'LEOFLOW-BADGE';
        }).map(control => control.outerHTML)"""
    )
    assert covered == []


def test_it_tells_about_the_installation_and_goes_away(tab: Tab, site: Site) -> None:
    page = tab.open("/")
    badge = page.get_by_role("button", name="Leoflow Lite")
    badge.focus()
    page.keyboard.press("Enter")
    about = page.get_by_role("dialog", name="Leoflow Lite")
    expect(about).to_contain_text(str(site.lite.home))
    expect(about).to_contain_text("Apache Airflow 3.2.2")
    page.keyboard.press("Escape")
    expect(about).to_be_hidden()
    expect(badge).to_be_focused()
    tab.settle()
