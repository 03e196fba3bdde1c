"""Projects may run Python 3.10: what runs beside user code compiles and imports there."""

import subprocess
from pathlib import Path

import pytest

import leoflow.runtime
from tests.support.environments import find_python

RUNTIME = Path(leoflow.runtime.__file__).parent
STANDALONE = ("control", "processes", "hazards", "sdk_adapter", "attempt", "zygote", "loading.describe_values")
CHECK = """
import importlib, sys, types
package = types.ModuleType("leoflow")
package.__path__ = [sys.argv[1]]
sys.modules["leoflow"] = package
for name in sys.argv[2:]:
    importlib.import_module("leoflow.runtime." + name)
from datetime import datetime, timezone, timedelta
from leoflow.runtime.loading import describe_values
assert describe_values.timestamp(datetime(2026, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))) == "2026-01-01T00:00:00Z"
"""


@pytest.fixture(scope="module")
def python_310() -> str:
    found = find_python("3.10")
    if found is None:
        pytest.skip("no Python 3.10 on this machine")
    return f"{found[1]}/python3.10"


def test_the_runtime_compiles_under_python_310(python_310: str) -> None:
    source = "import sys; [compile(open(name).read(), name, 'exec') for name in sys.argv[1:]]"
    files = [str(path) for path in RUNTIME.rglob("*.py")]
    done = subprocess.run([python_310, "-c", source, *files], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_runtime_imports_and_describes_dates_under_python_310(python_310: str) -> None:
    done = subprocess.run(
        [python_310, "-B", "-c", CHECK, str(RUNTIME.parent), *STANDALONE], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
