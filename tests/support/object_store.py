"""An object store over HTTP that speaks what `obstore` needs of S3, Google Cloud Storage and Azure Blob Storage.

It checks no signatures: what is tested is that our configuration reaches the store, and that objects come back whole.
"""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

STORES = {"s3": "s3://bucket/prefix", "gs": "gs://bucket/prefix", "az": "az://container/prefix"}
_STARTED = b"<InitiateMultipartUploadResult><UploadId>u1</UploadId></InitiateMultipartUploadResult>"
_COMPLETE = b'<CompleteMultipartUploadResult><ETag>"e"</ETag></CompleteMultipartUploadResult>'


class ObjectStore(ThreadingHTTPServer):
    """Objects by path, and who asked with which kind of authorisation."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.objects: dict[str, bytes] = {}
        self.parts: dict[tuple[str, str], bytes] = {}
        self.authorisations: set[str] = set()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}"

    def configure(self, patch: pytest.MonkeyPatch, scratch: Path) -> None:
        """Set the variables by which each store's own tools would be told of it."""
        account = scratch / "service_account.json"
        account.write_text(
            json.dumps(
                {
                    "gcs_base_url": self.url,
                    "disable_oauth": True,
                    "client_email": "",
                    "private_key": "",
                    "private_key_id": "",
                }
            )
        )
        patch.setenv("AWS_ENDPOINT", self.url)
        patch.setenv("AWS_ACCESS_KEY_ID", "k")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "s")
        patch.setenv("AWS_REGION", "us-east-1")
        patch.setenv("GOOGLE_SERVICE_ACCOUNT", str(account))
        patch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
        patch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "a2V5")
        patch.setenv("AZURE_STORAGE_ENDPOINT", self.url)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ObjectStore

    def log_message(self, *_: object) -> None: ...

    def do_PUT(self) -> None:
        path, query, body = self._request()
        if part := query.get("partNumber") or query.get("blockid"):
            self.server.parts[path, part] = body
        elif query.get("comp") == "blocklist":
            blocks = re.findall(rb"<(?:Latest|Uncommitted)>(.*?)</", body)
            self.server.objects[path] = b"".join(self.server.parts.pop((path, one.decode())) for one in blocks)
        else:
            self.server.objects[path] = body
        self._answer(201 if "blockid" in query or "comp" in query else 200)

    def do_POST(self) -> None:
        path, query, _ = self._request()
        if "uploads" in query:
            self._answer(200, _STARTED)
            return
        numbers = sorted((int(part) for name, part in self.server.parts if name == path))
        self.server.objects[path] = b"".join(self.server.parts.pop((path, str(one))) for one in numbers)
        self._answer(200, _COMPLETE)

    def do_GET(self) -> None:
        path, _, _ = self._request()
        found = self.server.objects.get(path)
        self._answer(404 if found is None else 200, found or b"")

    def _request(self) -> tuple[str, dict[str, str], bytes]:
        self.server.authorisations.add((self.headers.get("Authorization") or "none").split()[0])
        target = urlsplit(self.path)
        query = {name: given[0] for name, given in parse_qs(target.query, keep_blank_values=True).items()}
        return unquote(target.path), query, self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _answer(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("ETag", '"e"')
        self.send_header("Last-Modified", "Tue, 24 Nov 2026 20:00:00 GMT")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def object_store() -> Iterator[ObjectStore]:
    """One that listens until the end of the block."""
    server = ObjectStore()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
