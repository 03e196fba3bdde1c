"""Lists of task calls: order, edges and references, in every form the SDK resolves."""

from typing import Any

import pytest

from tests.contract.compiler.conftest import Compile, task_of

pytestmark = pytest.mark.anyio

TASKS = """
with DAG("d"):
    @task
    def trial(x): return x
    @task
    def other(): return 1
    @task(multiple_outputs=True)
    def pair(): return {"a": 1, "b": 2}
    @task
    def reduce(items, extra=None): ...
    @task
    def spread(*items): ...
    @task
    def named(**items): ...
"""


async def reduced(compiled: Compile, call: str, task_id: str = "reduce") -> dict[str, Any]:
    return task_of(await compiled(f"{TASKS}    {call}"), task_id)


async def test_a_comprehension_is_a_list_in_declaration_order(compiled: Compile) -> None:
    task = await reduced(compiled, "reduce([trial(x) for x in range(12)])")
    expected = ["trial", *(f"trial__{n}" for n in range(1, 12))]
    assert task["xcom_input"] == {"items": expected}
    assert task["depends_on"] == sorted(expected)
    assert task["xcom_refs"] == [[name, "return_value"] for name in sorted(expected)]


async def test_a_list_of_one_stays_a_list(compiled: Compile) -> None:
    assert (await reduced(compiled, "reduce([trial(1)])"))["xcom_input"] == {"items": ["trial"]}


async def test_an_empty_list_is_a_literal(compiled: Compile) -> None:
    task = await reduced(compiled, "reduce([])")
    assert task["xcom_input"] == {}
    assert task["call_args"] == {"items": []}


async def test_a_single_call_is_not_a_list(compiled: Compile) -> None:
    task = await reduced(compiled, "reduce(trial(1), extra=2)")
    assert task["xcom_input"] == {}
    assert task["xcom_refs"] == [["trial", "return_value"]]
    assert task["depends_on"] == ["trial"]
    assert task["call_args"] == {"extra": 2}


async def test_what_a_mapped_task_returns_is_named_with_its_parameter(compiled: Compile) -> None:
    task = await reduced(compiled, "reduce(trial.expand(x=[1, 2]), extra=trial(3))")
    assert task["xcom_input"] == {}
    assert task["extra"]["mapped_input"] == {"items": "trial"}


async def test_tuples_keywords_and_several_lists(compiled: Compile) -> None:
    call = "a, b = trial(1), other(); reduce(items=(b, a), extra=[a, b, a])"
    task = await reduced(compiled, call)
    assert task["xcom_input"] == {"items": ["other", "trial"], "extra": ["trial", "other", "trial"]}


async def test_a_starred_list_is_a_list(compiled: Compile) -> None:
    task = await reduced(compiled, "spread(*[trial(x) for x in range(2)])", "spread")
    assert task["xcom_input"] == {"items": ["trial", "trial__1"]}


async def test_keyword_arguments_keep_their_names(compiled: Compile) -> None:
    task = await reduced(compiled, "named(left=[trial(1)], right=3)", "named")
    assert task["xcom_input"] == {"left": ["trial"]}
    assert task["call_args"] == {"right": 3}


@pytest.mark.parametrize(
    "argument",
    [
        "[trial(1), 42, other()]",
        "{'a': trial(1), 'b': {'c': [other()]}}",
        "[[trial(1)], [other(), None]]",
        "(trial(1), {'x': other()})",
        "[[], trial(2), 'text', {'deep': [[other()]]}]",
    ],
)
async def test_mixed_and_nested_values_have_edges_and_references(compiled: Compile, argument: str) -> None:
    task = await reduced(compiled, f"reduce({argument})")
    assert task["xcom_input"] == {}
    assert len(task["depends_on"]) == 2
    assert task["xcom_refs"] == [[name, "return_value"] for name in task["depends_on"]]
    assert "items" not in task["call_args"]


async def test_a_key_of_multiple_outputs_is_a_reference_of_its_own(compiled: Compile) -> None:
    task = await reduced(compiled, "p = pair(); reduce([p['a'], p['b']], extra=p)")
    assert task["xcom_input"] == {}
    assert task["xcom_refs"] == [["pair", "a"], ["pair", "b"], ["pair", "return_value"]]
    assert task["depends_on"] == ["pair"]


async def test_literals_are_recorded_and_large_ones_only_named(compiled: Compile) -> None:
    call = "reduce(trial(1), extra=[timedelta(hours=1), {'k': datetime(2026, 1, 1)}, max, float('inf')])"
    task = await reduced(compiled, call)
    assert task["call_args"]["extra"] == [
        {"$type": "timedelta", "seconds": 3600.0},
        {"k": {"$type": "datetime", "value": "2026-01-01T00:00:00"}},
        {"$type": "callable", "name": "builtins.max"},
        {"$type": "float", "value": "inf"},
    ]
    task = await reduced(compiled, "reduce(list(range(100_000)))")
    assert task["call_args"]["items"] == {"$type": "builtins.list", "$length": 100_000}


async def test_xcoms_in_fields_of_operators_are_references(compiled: Compile) -> None:
    source = """
from airflow.providers.standard.operators.bash import BashOperator
with DAG("d"):
    @task
    def name(): return "x"
    n = name()
    BashOperator(task_id="hello", bash_command="echo $N", env={"N": n})
    BashOperator(task_id="inline", bash_command=f"echo {n}") << n
"""
    spec = await compiled(source)
    assert task_of(spec, "hello")["xcom_refs"] == [["name", "return_value"]]
    assert task_of(spec, "hello")["depends_on"] == ["name"]
    assert task_of(spec, "hello")["call_args"] == {"bash_command": "echo $N"}
    assert "xcom_pull" in task_of(spec, "inline")["call_args"]["bash_command"]


async def test_a_reduce_over_a_mapped_task_is_a_reference(compiled: Compile) -> None:
    spec = await compiled(f"{TASKS}    reduce(trial.expand(x=[1, 2, 3]))")
    assert task_of(spec, "reduce")["xcom_input"] == {}
    assert task_of(spec, "reduce")["xcom_refs"] == [["trial", "return_value"]]
    mapping = task_of(spec, "trial")["mapping"]
    assert mapping == {
        "kind": "expand",
        "inputs": [{"param": "x", "type": "literal", "length": 3}],
        "length": 3,
    }
