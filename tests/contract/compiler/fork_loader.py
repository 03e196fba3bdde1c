"""A `DagLoader` for tests: one warm interpreter of the project forks a child per file, so a load costs 0.1 s."""

import asyncio
import json
import os
import subprocess
import tempfile
import threading
from pathlib import Path

import leoflow.runtime
from leoflow.compiler.loader import LoadRequest, LoadResult, died, read_result
from leoflow.runtime.sdk_adapter import sdk_environment

SERVER = """
import json, os, sys, types
sys.modules["leoflow"] = package = types.ModuleType("leoflow")
package.__path__ = [sys.argv[1]]
import airflow.sdk
airflow.sdk.DAG
from leoflow.runtime.loading import load
for line in sys.stdin:
    request, out = json.loads(line), sys.stdout.fileno()
    pid = os.fork()
    if pid == 0:
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        answer = json.dumps(load(request))
        with open(request["answer"], "w") as stream:
            stream.write(answer)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    print(status, flush=True)
"""


class ForkLoader:
    """Starts the server on first use; close it after the last."""

    def __init__(self, python: Path, home: Path) -> None:
        self._lock = threading.Lock()
        self._home = home
        package = str(Path(leoflow.runtime.__file__).parents[1])
        environ = {name: value for name, value in os.environ.items() if not name.startswith("LEOFLOW_")}
        self._server = subprocess.Popen(
            [python, "-c", SERVER, package],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environ | sdk_environment(str(home)),
        )

    async def load(self, request: LoadRequest) -> LoadResult:
        return await asyncio.to_thread(self._load, request)

    def _load(self, request: LoadRequest) -> LoadResult:
        assert self._server.stdin and self._server.stdout
        with self._lock, tempfile.NamedTemporaryFile(dir=self._home) as answer:
            print(json.dumps({**request.message(), "answer": answer.name}), file=self._server.stdin, flush=True)
            status = int(self._server.stdout.readline())
            document = Path(answer.name).read_bytes()
        if not document:
            raise died(request, status, "")
        return read_result(request, document)

    def close(self) -> None:
        assert self._server.stdin and self._server.stdout
        self._server.stdin.close()
        self._server.wait()
        self._server.stdout.close()
