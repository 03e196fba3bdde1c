"""The same sources give the same bytes, whatever the place, the process, the hash seed; and 5,000 trials compile."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from leoflow.compiler import DagLoader, SubprocessLoader, compile_project, discover
from leoflow.spec import canonical_bytes
from tests.contract.compiler.fork_loader import ForkLoader

pytestmark = pytest.mark.anyio

EXAMPLES = Path(__file__).parents[3] / "examples"

SETS_AND_PATHS = """
import os
from pathlib import Path
HERE = Path(__file__).parent
class Thing: ...
with DAG("d", tags={"x", "y", "z"}, doc_md=str(HERE), template_searchpath=[str(HERE)]):
    @task
    def a(value, where, thing): ...
    @task
    def b(): ...
    done = [b() for _ in range(5)]
    a({f"s{n}" for n in range(20)}, os.path.join(HERE, "data.csv"), Thing()) << done
"""


async def bytes_of(path: Path, loader: DagLoader, home: Path | None = None) -> list[bytes]:
    return [
        canonical_bytes(dag.spec)
        for project in discover(path)
        for dag in await compile_project(project, loader, home=home)
    ]


async def test_bytes_do_not_depend_on_the_directory_or_the_process(
    write: Callable[..., Path], loader: ForkLoader, sdk_python: Path, tmp_path: Path
) -> None:
    root = write(SETS_AND_PATHS)
    [first] = await bytes_of(root, loader)
    moved = tmp_path / "some" / "other" / "place"
    shutil.copytree(root, moved)
    assert await bytes_of(moved, loader) == [first]
    assert await bytes_of(root, SubprocessLoader(sdk_python, home=tmp_path / "airflow")) == [first]
    assert await bytes_of(root, loader, home=tmp_path / "home") == [first]
    assert str(tmp_path).encode() not in first
    assert b"0x" not in first


async def test_a_changed_helper_is_a_new_version(write: Callable[..., Path], loader: ForkLoader) -> None:
    root = write("import helper\nd = DAG('d')\n", files={"helper.py": "x = 1\n"})
    before = await bytes_of(root, loader)
    (root / "helper.py").write_text("x = 2\n")
    assert await bytes_of(root, loader) != before


async def test_every_example_compiles_without_a_warning(loader: ForkLoader) -> None:
    projects = discover(EXAMPLES)
    assert len(projects) >= 6
    for project in projects:
        dags = await compile_project(project, loader)
        assert project.name == project.root.name
        assert len(dags) > 1 or dags[0].spec.dag_id == project.name
        assert [dag.warnings for dag in dags if dag.warnings] == []


async def test_five_thousand_trials_compile(write: Callable[..., Path], loader: ForkLoader) -> None:
    source = """
    with DAG("search"):
        @task
        def trial(lr): return lr
        @task
        def select_best(trials): ...
        select_best([trial(n / 1000) for n in range(5000)])
    """
    [project] = discover(write(source))
    [dag] = await compile_project(project, loader)
    reducer = next(task for task in dag.spec.tasks if task.task_id == "select_best")
    assert reducer.xcom_input["trials"][:3] == ["trial", "trial__1", "trial__2"]
    assert len(reducer.xcom_input["trials"]) == 5000
    assert next(task for task in dag.spec.tasks if task.task_id == "trial__7").call_args == {"lr": 0.007}
    assert next(task for task in dag.spec.tasks if task.task_id == "trial__7").effective_priority == 2


async def test_a_chain_of_five_thousand_compiles(write: Callable[..., Path], loader: ForkLoader) -> None:
    source = """
    from airflow.providers.standard.operators.empty import EmptyOperator
    with DAG("chain"):
        last = None
        for n in range(5000):
            this = EmptyOperator(task_id=f"t{n}")
            if last: last >> this
            last = this
    """
    [dag] = await compile_project(discover(write(source))[0], loader)
    weights = {task.task_id: task.effective_priority for task in dag.spec.tasks}
    assert (weights["t0"], weights["t4999"]) == (5000, 1)


MANY_NAMES = """
with DAG("d") as d:
    @task
    def t(): ...
    @task
    def t__1(): ...
    @task
    def other__x(): ...
    t(), t(), t__1(), t(), t__1()
    t.override(task_id="t__7")(), t(), t__1()
    t.override(task_id="a__1__2")(), t.override(task_id="a__1")(), t.override(task_id="a__1")()
    t.expand_kwargs([{}]), t.expand_kwargs([{}])
    @task_group
    def g():
        t(), t(), other__x()
        @task_group
        def h():
            t(), t(), t.override(task_id="t__40")(), t()
        h()
    g(), g()
    t.override(task_id="gXt__90")()
    g()
"""


async def test_repeated_ids_are_numbered_as_by_the_sdk(
    write: Callable[..., Path], loader: ForkLoader, sdk_python: Path, tmp_path: Path
) -> None:
    root = write(MANY_NAMES)
    [dag] = await compile_project(discover(root)[0], loader)
    environ = os.environ | {"AIRFLOW_HOME": str(tmp_path)}
    code = "import dag; print('\\n'.join(sorted(dag.d.task_dict)))"
    plain = await asyncio.to_thread(subprocess.check_output, [sdk_python, "-c", code], cwd=root, env=environ, text=True)
    assert [task.task_id for task in dag.spec.tasks] == plain.splitlines()
    assert len(dag.spec.tasks) > 20
