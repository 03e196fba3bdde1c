"""One Lite with the examples for all browser tests, and a browser that notices what goes wrong."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.browser.site import PATIENCE, Site, Tab
from tests.support.lite import Lite, lite, make_home

EXAMPLES = Path(__file__).parents[2] / "examples"
SWITCHES = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
CHROMIUM = ("/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome")
expect.set_options(timeout=PATIENCE)
SIZE = {"width": 1400, "height": 850}


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lite]:
    """A Lite with the examples; LEOFLOW_TEST_LITE=<home>:<port> takes one that already runs, for quick tries."""
    if given := os.environ.get("LEOFLOW_TEST_LITE"):
        home, _, port = given.rpartition(":")
        yield Lite(EXAMPLES, Path(home), port=int(port))
        return
    with lite(EXAMPLES, make_home(tmp_path_factory.mktemp("browser"))) as started:
        yield started


@pytest.fixture(scope="session")
def site(running: Lite) -> Site:
    """The running product, on which both DAGs of the front page have finished once."""
    runs = {}
    for dag_id in ("etl_daily", "hparam_search"):
        running.wait_for_dag(dag_id)
        runs[dag_id] = running.trigger(dag_id)
    for dag_id, run_id in runs.items():
        assert running.wait_for_run(dag_id, run_id) == "success", running.output
    return Site(f"http://localhost:{running.port}", runs, running)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, for one module at a time: while Playwright is open, no other test can run an event loop."""
    executable = os.environ.get("LEOFLOW_TEST_CHROMIUM") or next((c for c in CHROMIUM if Path(c).exists()), None)
    if executable is None:
        pytest.skip("no Chromium: install Debian's chromium, or set LEOFLOW_TEST_CHROMIUM")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=executable, args=list(SWITCHES))
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def visitor(browser: Browser, site: Site) -> Iterator[Tab]:
    """The tab of one visitor in English and UTC, who walks through the site without reloading it."""
    context = browser.new_context(viewport=SIZE, locale="en-US", timezone_id="UTC", base_url=site.url)
    context.set_default_timeout(PATIENCE)
    yield Tab(context.new_page())
    context.close()


@pytest.fixture
def tab(visitor: Tab, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Tab]:
    """The visitor's tab; the test fails on anything the browser complained about meanwhile."""
    visitor.problems.clear()
    failed_before = request.session.testsfailed
    yield visitor
    pictures = Path(os.environ.get("LEOFLOW_TEST_PICTURES") or tmp_path)
    visitor.page.screenshot(path=pictures / f"{request.node.name.replace('/', '_')}.png")
    problems = list(visitor.problems)
    if problems or request.session.testsfailed > failed_before:
        visitor.start_over()
    assert problems == []
