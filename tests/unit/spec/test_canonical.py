"""The same spec has the same bytes, whatever order, process or hash seed."""

import json
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leoflow.errors import LeoflowError
from leoflow.spec import DagSpec, as_json, canonical_bytes, content_hash
from leoflow.spec.canonical import canonical_json

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=5),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


def spec_of(**changes: object) -> DagSpec:
    task = {
        "task_display_name": "a",
        "operator": "X",
        "operator_name": "X",
        "class": "m.X",
        "kind": "operator",
        "depends_on": [],
    }
    values: dict[str, object] = {
        "dag_id": "d",
        "dag_display_name": "d",
        "source": {"path": "dag.py", "tree_hash": "0", "code": ""},
        "tasks": [{"task_id": "a", **task}, {"task_id": "b", **task, "depends_on": ["a"]}],
    }
    return DagSpec.model_validate(values | changes)


@given(JSON)
def test_canonical_json_is_stable_and_loses_nothing(value: object) -> None:
    encoded = canonical_json(value)
    assert json.loads(encoded) == value
    assert canonical_json(json.loads(encoded)) == encoded


@given(st.dictionaries(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), st.integers()))
def test_order_of_keys_does_not_matter(value: dict[str, int]) -> None:
    assert canonical_json(value) == canonical_json(dict(reversed(value.items())))


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ({"a": [1, float("nan")]}, "$.a.1"),
        ({"a": {"b": float("inf")}}, "$.a.b"),
        ({"a": {"b": object()}}, "$.a.b"),
        ({"a": "nul \0 inside"}, "$.a"),
        ({"a": "\ud800"}, "$.a"),
        ({"a": json.loads("[" * 300 + "]" * 300)}, "$.a.0.0"),
    ],
)
def test_what_postgres_cannot_keep_is_refused_by_place(value: object, place: str) -> None:
    with pytest.raises(LeoflowError) as caught:
        canonical_json(value)
    assert caught.value.where == place


def test_the_text_of_an_escape_is_not_a_nul() -> None:
    assert json.loads(canonical_json({"a": "\\u0000"})) == {"a": "\\u0000"}


def test_a_spec_survives_its_own_bytes() -> None:
    spec = spec_of().with_content_hash()
    again = DagSpec.model_validate_json(canonical_bytes(spec))
    assert canonical_bytes(again) == canonical_bytes(spec)
    assert content_hash(again) == spec.content_hash


def test_the_content_hash_sees_every_change() -> None:
    assert content_hash(spec_of()) != content_hash(spec_of(catchup=True))
    assert content_hash(spec_of()) != content_hash(spec_of(source={"path": "dag.py", "tree_hash": "1", "code": ""}))


def test_defaults_are_written_out() -> None:
    task = as_json(spec_of())["tasks"][0]
    assert task["trigger_rule"] == "all_success"
    assert task["retry_delay_seconds"] == 300.0
    assert task["class"] == "m.X"


def test_hash_seed_does_not_matter() -> None:
    code = (
        "from tests.unit.spec.test_canonical import spec_of; from leoflow.spec import content_hash;"
        "print(content_hash(spec_of(params={'x': {'value': {'b', 'a'} and {'k': 1, 'a': 2}}})))"
    )
    hashes = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
        ).stdout
        for seed in ("0", "7")
    }
    assert len(hashes) == 1


def test_unknown_upstreams_and_repeated_ids_are_refused() -> None:
    tasks = as_json(spec_of())["tasks"]
    with pytest.raises(ValueError, match="unknown tasks"):
        spec_of(tasks=[tasks[1]])
    with pytest.raises(ValueError, match="not unique"):
        spec_of(tasks=[tasks[0], tasks[0]])
