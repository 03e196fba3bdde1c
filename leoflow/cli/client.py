"""The HTTP API as commands use it: which server, who is asking, errors in words, pages, log lines.

Only the standard library: a command that asks a server must start quickly.
"""

import http.client
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from leoflow.errors import ExitCode, LeoflowError, UnreachableError

Document = dict[str, Any]
PAGE = 100
TIMEOUT_SECONDS = 60.0

_HINTS = {
    400: "correct what the message names",
    409: "look at its present state with `… show` or `… list`",
    422: "correct what the message names",
    401: "sign in with `leoflow auth login`, or set LEOFLOW_TOKEN",
    403: "your role does not allow this, or the token is not of this server: `leoflow auth login`",
    404: "check the name; `… list` shows what there is",
    429: "wait a little",
}


class ServerRefusedError(LeoflowError):
    """The server said no.

    Attributes:
        status: its HTTP status.
    """

    def __init__(self, status: int, what: str, where: str) -> None:
        code = ExitCode.UNREACHABLE if status in (401, 403, 503) else ExitCode.FAILED
        super().__init__(what, where=where, hint=_HINTS.get(status, ""), exit_code=code)
        self.status = status


@dataclass(frozen=True, slots=True)
class Client:
    """One server and the token for it. Every call is one request.

    Attributes:
        url: of the server, without a slash at its end.
        token: sent as bearer token; None for what needs none.
    """

    url: str
    token: str | None = None

    def get(self, path: str, **query: Any) -> Document:
        """Read a document."""
        return self._document("GET", path, query)

    def post(self, path: str, body: Any) -> Document:
        """Create or ask for something."""
        return self._document("POST", path, {}, body)

    def patch(self, path: str, body: Any, **query: Any) -> Document:
        """Change something."""
        return self._document("PATCH", path, query, body)

    def put(self, path: str) -> Document:
        """Do something to a thing that exists."""
        return self._document("PUT", path, {})

    def delete(self, path: str, **query: Any) -> None:
        """Remove something."""
        self._document("DELETE", path, query)

    def listing(self, path: str, key: str, *, limit: int, **query: Any) -> list[Document]:
        """Read up to `limit` rows of a collection, page by page."""
        rows: list[Document] = []
        while len(rows) < limit:
            page = self.get(path, **query, limit=min(PAGE, limit - len(rows)), offset=len(rows))[key]
            rows += page
            if len(page) < PAGE:
                break
        return rows[:limit]

    def lines(self, path: str, **query: Any) -> tuple[Iterator[Document], str | None]:
        """Read newline-delimited JSON, and the token with which to go on (None at the end)."""
        connection, answer = self._send("GET", path, query, None, "application/x-ndjson")
        return _lines(connection, answer), answer.getheader("Airflow-Continuation-Token")

    def _document(self, method: str, path: str, query: Mapping[str, Any], body: Any = None) -> Document:
        connection, answer = self._send(method, path, query, body, "application/json")
        try:
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from error
        finally:
            connection.close()
        found = json.loads(text) if text else None
        return found if isinstance(found, dict) else {}

    def _send(
        self, method: str, path: str, query: Mapping[str, Any], body: Any, accept: str
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        parts = urlsplit(self.url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        given = {name: value for name, value in query.items() if value is not None}
        target = f"{parts.path}{path}" + (f"?{urlencode(_plain(given), doseq=True)}" if given else "")
        headers = {"Accept": accept, "Content-Type": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        try:
            connection = kind(parts.hostname or "", parts.port, timeout=TIMEOUT_SECONDS)
            connection.request(method, target, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise self._unreachable(error) from error
        if answer.status >= 300:
            text = answer.read()
            connection.close()
            raise ServerRefusedError(answer.status, _detail(text, answer), self.url)
        return connection, answer

    def _unreachable(self, error: Exception) -> UnreachableError:
        return UnreachableError(
            f"the server cannot be reached ({error})",
            where=self.url,
            hint="start it (`leoflow lite`), or name another one with --server or LEOFLOW_SERVER_URL",
        )


def api(*parts: str) -> str:
    """A path of the public API, each part escaped: `api("dags", dag_id)`."""
    return "/api/v2/" + "/".join(quote(part, safe="~") for part in parts)


def _plain(query: Mapping[str, Any]) -> dict[str, Any]:
    return {name: str(value).lower() if isinstance(value, bool) else value for name, value in query.items()}


def _lines(connection: http.client.HTTPConnection, answer: http.client.HTTPResponse) -> Iterator[Document]:
    try:
        for line in answer:
            if line.strip():
                yield json.loads(line)
    finally:
        connection.close()


def _detail(text: bytes, answer: http.client.HTTPResponse) -> str:
    """The server's reason in one line; a list of validation errors as `field: rule`."""
    try:
        detail = json.loads(text)["detail"]
    except (ValueError, KeyError, TypeError):
        return f"the server answered {answer.status} {answer.reason}"
    if isinstance(detail, list):
        return "; ".join(f"{'.'.join(str(part) for part in one['loc'][1:])}: {one['msg']}" for one in detail)
    if isinstance(detail, dict):
        return str(detail.get("reason") or detail.get("message") or detail)
    return str(detail)
