"""Everything wrong with a DAG file is named by file, line, rule and remedy."""

import asyncio
import os
import textwrap
import zipfile
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from leoflow.compiler import CompileError, LoadLimits, SubprocessLoader, compile_project, discover, report_project
from leoflow.compiler.compile import CompileOptions
from tests.contract.compiler.fork_loader import ForkLoader

pytestmark = pytest.mark.anyio

Refused = Callable[..., Awaitable[CompileError]]
OK_DAG = 'with DAG("d"):\n    @task\n    def a(): ...\n    a()\n'
GROUP = (
    'from airflow.sdk import task_group\nwith DAG("d"):\n    @task\n    def a(x): ...\n    @task_group\n    def g(x):\n'
)
HEADER_LINES = 2


@pytest.mark.parametrize(
    ("source", "line", "rule", "words"),
    [
        ("def broken(:\n    pass\n", 1, "syntax", "syntax error"),
        ("x = 1\nimport no_such_package\n", 2, "missing-package", "no_such_package"),
        ("import airflow.providers.no_such.hooks\n", 1, "missing-package", "no_such"),
        ("from airflow.operators.bash_operator import BashOperator\n", 1, "moved-module", "airflow.operators"),
        ("from json import no_such_name\n", 1, "import", "no_such_name"),
        ("import json.no_such\n", 1, "missing-module", "json.no_such"),
        ("x = 1\n", None, "no-dag", "no DAG"),
        ("DAG\n", None, "no-dag", "no DAG"),
        ("\nraise RuntimeError('boom')\n", 2, "exception", "boom"),
        ("import sys\nsys.exit(3)\n", 2, "exit", "sys.exit(3)"),
        ("raise KeyboardInterrupt\n", 1, "exception", "KeyboardInterrupt"),
        ("def f(): f()\nf()\n", 1, "recursion", "recurses"),
        ("x = bytearray(1 << 60)\n", 1, "memory-limit", "memory"),
        ("import os\nos._exit(7)\n", None, "exit", "exit status 7"),
        (OK_DAG + "DAG('bad id')\n", 5, "exception", "bad id"),
        (OK_DAG + "x = DAG('a' * 251)\n", 5, "exception", "250"),
        (OK_DAG + "e = DAG('d')\n", 1, "duplicate-dag-id", "twice"),
        ("x = DAG('d', schedule='61 * * * *')\n", 1, "schedule", "61"),
        ("x = DAG('d', schedule='every day')\n", 1, "schedule", "every day"),
        ("x = DAG('d', schedule=timedelta(hours=-1))\n", 1, "schedule", "positive"),
        ("x = DAG('d', schedule=42)\n", 1, "exception", "42"),
        ("x = DAG('d', schedule='@daily', catchup=True)\n", 1, "exception", "start_date"),
        ("x = DAG('d', params={'p': object()})\n", 1, "params", "serializable"),
        ("x = DAG('d', params={'p': float('nan')})\n", 1, "not-json", "params"),
        ("x = DAG('d', doc_md='a\\0b')\n", 1, "not-json", "doc_md"),
        ("x = DAG('d', tags=['x' * 101])\n", 1, "exception", "100"),
        (OK_DAG + "    @task\n    def b(x): ...\n    b()\n", 7, "exception", "x"),
        (OK_DAG + "    @task(trigger_rule='sometimes')\n    def b(): ...\n    b()\n", 7, "exception", "sometimes"),
        (OK_DAG + "    @task(retries=-1)\n    def b(): ...\n    b()\n", 7, "invalid-value", "retries"),
        (OK_DAG + "    @task(retries=2**40)\n    def b(): ...\n    b()\n", 7, "invalid-value", "retries"),
        (
            OK_DAG + "    @task(max_active_tis_per_dag=-1)\n    def b(): ...\n    b()\n",
            7,
            "invalid-value",
            "tis_per_dag",
        ),
        (
            OK_DAG
            + "    d = []\n    for _ in range(300): d = [d]\n    @task(params={'p': d})\n    def b(): ...\n    b()\n",
            9,
            "not-json",
            "nested more than 200 levels deep",
        ),
        (OK_DAG + "    @task(pool_slots=0)\n    def b(): ...\n    b()\n", 7, "exception", "slots"),
        (OK_DAG + "    a.override(task_id='no space')()\n", 5, "exception", "no space"),
        (OK_DAG + "    a.expand(x=1)\n", 5, "exception", "expand"),
        (OK_DAG + "    a.expand(x=[1])\n", 5, "exception", "x"),
        (
            OK_DAG
            + "    from airflow.sdk import Param\n    @task(params={'p': Param(1, enum={1})})\n"
            + "    def b(): ...\n    b()\n",
            8,
            "not-json",
            "task 'b'",
        ),
        (GROUP + "        a.expand(x=[1])\n    g.expand(x=[1])\n", 7, "nested-map", "mapped inside"),
        (
            GROUP + "        @task_group\n        def h(y): a(y)\n        h.expand(y=x)\n    g.expand(x=[1])\n",
            9,
            "nested-map",
            "argument",
        ),
        ("from airflow.sdk import Param\nx = DAG('d', params={'p': Param(1, enum={1})})\n", 2, "not-json", "params"),
        ("from airflow.sdk import Variable\nx = Variable.get('v')\n", 2, "secret-at-parse-time", "v"),
    ],
)
async def test_a_mistake_names_its_line_and_rule(
    refused: Refused, source: str, line: int | None, rule: str, words: str
) -> None:
    error = await refused("\n" * 0 + source)
    assert error.file == "dag.py"
    assert error.line == (line + HEADER_LINES if line else None)
    assert error.rule == rule
    assert words in error.what
    assert error.hint
    assert error.exit_code == 1
    assert "/" not in error.file


async def test_a_cycle_is_shown_whole(refused: Refused) -> None:
    source = """
    with DAG("d"):
        @task
        def a(): ...
        one, two, three = a(), a(), a()
        one >> two >> three >> one
    """
    error = await refused(source)
    assert error.rule == "cycle"
    assert "a -> a__1 -> a__2 -> a" in error.what
    assert error.line == 7


async def test_a_task_that_depends_on_itself_is_a_cycle(refused: Refused) -> None:
    error = await refused(OK_DAG + "    t = a()\n    t >> t\n")
    assert error.rule in ("cycle", "exception")
    assert error.line


async def test_an_error_in_a_helper_names_the_helper(refused: Refused) -> None:
    error = await refused("import helpers.values\n", files={"helpers/values.py": "\n\n1 / 0\n"})
    assert (error.file, error.line) == ("helpers/values.py", 3)
    assert "ZeroDivisionError" in error.what


async def test_a_syntax_error_in_a_helper_names_the_helper(refused: Refused) -> None:
    error = await refused("import helper\n", files={"helper.py": "x = 1\ny = = 2\n"})
    assert (error.file, error.line, error.rule) == ("helper.py", 2, "syntax")


async def test_the_traceback_shows_user_code_only(refused: Refused) -> None:
    error = await refused("def f():\n    raise ValueError('deep')\nf()\n")
    assert 'File "dag.py", line 4, in f' in error.traceback
    assert "loading" not in error.traceback
    assert str(error.root) not in error.traceback
    assert error.text().startswith("error: ValueError: deep: ")


async def test_a_malformed_declaration_of_secrets_says_how_it_is_meant(refused: Refused) -> None:
    for ours, words in (("{'connections': 'one'}", "must be a list of names"), ("['a']", "may have connections")):
        source = f"""
        with DAG("d"):
            @task(executor_config={{"leoflow": {ours}}})
            def t(): ...
            t()
        """
        error = await refused(source)
        assert (error.rule, error.file, error.line) == ("executor-config", "dag.py", HEADER_LINES + 2)
        assert "task 't'" in error.what and words in error.what
        assert "executor_config=" in error.hint


async def test_a_watcher_whose_arguments_cannot_be_kept_is_named(refused: Refused) -> None:
    error = await refused("""
    from airflow.sdk import Asset, AssetWatcher
    from airflow.triggers.base import BaseEventTrigger
    class Watch(BaseEventTrigger):
        def serialize(self): return "project.Watch", {"it": object()}
        async def run(self): yield
    with DAG("d", schedule=Asset("a", watchers=[AssetWatcher(name="w", trigger=Watch())])):
        @task
        def t(): ...
        t()
    """)
    assert error.rule == "watcher"
    assert "the asset watcher 'w' has arguments that cannot be kept" in error.what


async def test_too_many_tasks_are_refused(refused: Refused) -> None:
    source = """
    from airflow.providers.standard.operators.empty import EmptyOperator
    with DAG("d"):
        for n in range(20_001):
            EmptyOperator(task_id=f"t{n}")
    """
    error = await refused(source)
    assert error.rule == "too-many-tasks"
    assert error.line == 5


@pytest.mark.parametrize(
    ("yaml", "line", "words", "hint"),
    [
        ("dag_idd: d\n", 1, "dag_idd", "dag_id"),
        ("dag_id: e\n", 1, "'e' is not defined", "dag_id"),
        ("tasks:\n  transfrom: {retries: 1}\n", 2, "transfrom", "'transform'"),
        ("tasks:\n  xyzzy: {}\n", 2, "xyzzy", "The DAG's tasks are: transform"),
    ],
)
async def test_a_mistake_in_leoflow_yaml_names_its_line(
    refused: Refused, yaml: str, line: int, words: str, hint: str
) -> None:
    error = await refused('with DAG("d"):\n    @task\n    def transform(): ...\n    transform()\n', yaml=yaml)
    assert (error.file, error.line) == ("leoflow.yaml", line)
    assert words in error.what
    assert hint in error.hint


async def test_a_missing_dag_source_is_named(write: Callable[..., Path], loader: ForkLoader) -> None:
    root = write(OK_DAG, yaml="dag_source: src/etl.py\n")
    [project] = discover(root)
    assert project.error
    assert project.error.rule == "file-missing"
    assert project.error.file == "src/etl.py"


async def test_not_utf8_names_the_line(write: Callable[..., Path], loader: ForkLoader) -> None:
    root = write(OK_DAG)
    (root / "dag.py").write_bytes(b"# fine\n# caf\xe9\n" + (root / "dag.py").read_bytes())
    with pytest.raises(CompileError) as caught:
        await compile_project(discover(root)[0], loader)
    assert (caught.value.rule, caught.value.line) == ("encoding", 2)


async def test_a_huge_dag_file_is_not_even_loaded(write: Callable[..., Path], loader: ForkLoader) -> None:
    root = write(OK_DAG)
    with (root / "dag.py").open("ab") as stream:
        stream.truncate(100 << 20)
    with pytest.raises(CompileError) as caught:
        await compile_project(discover(root)[0], loader)
    assert caught.value.rule == "too-large"


async def test_a_file_deleted_meanwhile_is_named(write: Callable[..., Path], loader: ForkLoader) -> None:
    source = "from pathlib import Path\nPath(__file__).unlink()\n" + OK_DAG
    with pytest.raises(CompileError) as caught:
        await compile_project(discover(write(source))[0], loader)
    assert caught.value.rule == "changing"
    root = write(OK_DAG)
    [project] = discover(root)
    (root / "dag.py").unlink()
    with pytest.raises(CompileError) as caught:
        await compile_project(project, loader)
    assert caught.value.rule == "file-missing"


async def test_a_packaged_dag_is_refused_not_ignored(tmp_path: Path, loader: ForkLoader) -> None:
    (tmp_path / "etl.py").write_text("from airflow.sdk import DAG\nx = DAG('etl')\n")
    with zipfile.ZipFile(tmp_path / "old.zip", "w") as archive:
        archive.writestr("inner.py", "from airflow.sdk import DAG")
    report = await report_project(discover(tmp_path)[0], loader)
    assert [dag.spec.dag_id for dag in report.dags] == ["etl"]
    assert [(error.file, error.rule) for error in report.errors] == [("old.zip", "zip")]


async def test_one_broken_file_does_not_hide_the_others(tmp_path: Path, loader: ForkLoader) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.py").write_text(f"from airflow.sdk import DAG\nx = DAG('{name}')\n")
    (tmp_path / "broken.py").write_text("from airflow.sdk import DAG\n1 / 0\n")
    [project] = discover(tmp_path)
    report = await report_project(project, loader)
    assert [dag.spec.dag_id for dag in report.dags] == ["a", "b"]
    assert [error.file for error in report.errors] == ["broken.py"]


# Limits need the real process.

LIMITS = LoadLimits(seconds=60, memory_bytes=1 << 30, output_bytes=1 << 20)


@pytest.mark.parametrize(
    ("source", "rule"),
    [
        ("while True: pass\n", "time-limit"),
        ("import time\ntime.sleep(3600)\n", "time-limit"),
        ("import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(3600)\n", "time-limit"),
        ("while True: print('x' * 1000)\n", "output-limit"),
        ("import sys\nwhile True: sys.stderr.write('x' * 1000)\n", "output-limit"),
        ("x = [bytearray(64 << 20) for _ in range(1000)]\n", "memory-limit"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n", "crash"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n", "memory-limit"),
        ("import os\nos._exit(0)\n", "exit"),
        ("import os\nos.closerange(3, 100)\nos._exit(0)\n", "exit"),
    ],
)
async def test_a_file_that_breaks_a_limit_is_stopped(
    write: Callable[..., Path], sdk_python: Path, tmp_path: Path, source: str, rule: str
) -> None:
    [project] = discover(write(textwrap.dedent(source) + OK_DAG))
    loader = SubprocessLoader(sdk_python, home=tmp_path / "airflow")
    # Only where time is the limit may a slow machine reach it.
    limits = replace(LIMITS, seconds=2) if rule == "time-limit" else LIMITS
    with pytest.raises(CompileError) as caught:
        await compile_project(project, loader, options=CompileOptions(limits=limits))
    assert caught.value.rule == rule
    assert caught.value.hint


async def test_output_never_mixes_with_the_result(write: Callable[..., Path], sdk_python: Path, tmp_path: Path) -> None:
    source = """
    import os, subprocess, sys
    print('{"dags": []}')
    sys.stderr.write('{"error": 1}')
    os.write(1, b"\\xff\\x00 binary")
    subprocess.run(["sh", "-c", "echo from a child; cat"])
    """
    [project] = discover(write(textwrap.dedent(source) + OK_DAG))
    loader = SubprocessLoader(sdk_python, home=tmp_path / "airflow")
    [dag] = await compile_project(project, loader)
    assert dag.spec.dag_id == "d"


async def test_what_the_file_started_ends_with_it(write: Callable[..., Path], sdk_python: Path, tmp_path: Path) -> None:
    """A process left behind holds our pipes; it neither delays the answer nor outlives it."""
    pid_file = tmp_path / "pid"
    source = f"""
    import subprocess
    child = subprocess.Popen(["sleep", "3600"])
    open({str(pid_file)!r}, "w").write(str(child.pid))
    """
    [project] = discover(write(textwrap.dedent(source) + OK_DAG))
    await compile_project(project, SubprocessLoader(sdk_python, home=tmp_path / "airflow"))
    await _gone(int(pid_file.read_text()))


async def test_cancelling_a_compile_ends_its_process(
    write: Callable[..., Path], sdk_python: Path, tmp_path: Path
) -> None:
    pid_file = tmp_path / "pid"
    os.mkfifo(pid_file)
    source = f"import os, time\nopen({str(pid_file)!r}, 'w').write(str(os.getpid()))\ntime.sleep(3600)\n"
    [project] = discover(write(source))
    loader = SubprocessLoader(sdk_python, home=tmp_path / "airflow")
    compiling = asyncio.create_task(compile_project(project, loader))
    pid = int(await asyncio.to_thread(pid_file.read_text))
    compiling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await compiling
    assert not _alive(pid)


async def _gone(pid: int) -> None:
    """Wait for the end of a killed process, which the kernel takes its time for."""
    async with asyncio.timeout(20):
        while _alive(pid):
            await asyncio.sleep(0.01)


def _alive(pid: int) -> bool:
    """Say whether the process runs; a zombie waiting for a slow init does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
