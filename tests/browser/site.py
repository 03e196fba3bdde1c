"""What the browser tests share: the running product, and the list of everything that must not happen."""

from dataclasses import dataclass
from typing import Any

from playwright.sync_api import ConsoleMessage, Error, Page, Request, Response, expect

from tests.support.lite import Lite

# Airflow 3.2.2's own server answers 404 here too: its wheel lacks the file, and the page does without.
UPSTREAM = "/static/wasm/sqlparser_rs_wasm.js"

PATIENCE = 30_000

ABORTED = ("signal is aborted without reason", "BodyStreamBuffer was aborted")


@dataclass(frozen=True, slots=True)
class Site:
    """A running Lite."""

    url: str
    runs: dict[str, str]
    lite: Lite


class Tab:
    """A browser tab that remembers everything that went wrong in it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.problems: list[str] = []
        self._loading: set[Request] = set()
        self._inside = False
        page.on("console", self._console)
        page.on("pageerror", self._thrown)
        page.on("request", lambda request: self._loading.add(request))
        page.on("requestfinished", lambda request: self._loading.discard(request))
        page.on("requestfailed", self._failed)
        page.on("response", self._answered)

    def open(self, path: str) -> Page:
        """Go to a page: by loading it at first, then as the UI's own links do."""
        if self._inside:
            self.page.evaluate(
                "path => { history.pushState({}, '', path); dispatchEvent(new PopStateEvent('popstate')); }", path
            )
        else:
            self.page.goto(path)
            self._inside = True
        self._wait_until_quiet()
        return self.page

    def ask(self, path: str) -> Any:
        """Ask the API from within the open page; Playwright's own client would need an /etc/hosts."""
        script = "async path => { const answer = await fetch(path); return [answer.status, await answer.json()]; }"
        status, body = self.page.evaluate(script, path)
        assert status == 200, body
        return body

    def start_over(self) -> None:
        """Load the next page anew."""
        self._inside = False

    def settle(self) -> None:
        """Wait until nothing is loading, and make sure that no error is shown."""
        self._wait_until_quiet()
        expect(self.page.locator("leoflow-badge")).to_be_attached()
        expect(self.page.locator('[data-scope="toast"][data-type="error"]')).to_have_count(0)
        expect(self.page.get_by_text("Something went wrong")).to_have_count(0)
        expect(self.page.get_by_text("404", exact=True)).to_have_count(0)

    def _wait_until_quiet(self) -> None:
        quiet = 0
        while quiet < 3:
            self.page.wait_for_timeout(50)
            quiet = 0 if self._loading else quiet + 1

    def _thrown(self, error: Error) -> None:
        # The UI aborts its own stream of grid summaries when one leaves the page, and does not catch that.
        if error.message not in ABORTED:
            self.problems.append(f"exception: {error}")

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error" and UPSTREAM not in str(message.location):
            self.problems.append(f"console: {message.text} at {message.location}")

    def _failed(self, request: Request) -> None:
        self._loading.discard(request)
        # A page that is left aborts what it was still loading.
        if request.failure != "net::ERR_ABORTED" and UPSTREAM not in request.url:
            self.problems.append(f"failed: {request.method} {request.url}: {request.failure}")

    def _answered(self, response: Response) -> None:
        if response.status >= 400 and UPSTREAM not in response.url:
            self.problems.append(f"answer: {response.status} {response.request.method} {response.url}")
