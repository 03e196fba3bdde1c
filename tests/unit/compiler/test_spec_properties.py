"""Whatever a DAG looks like: the order in which its parts are described does not show in its bytes."""

import json
import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from leoflow.spec import DagSpec, canonical_bytes, content_hash

NAMES = st.text("abcdefgh_", min_size=1, max_size=6)
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


@st.composite
def specs(draw: st.DrawFn) -> dict[str, Any]:
    ids = draw(st.lists(NAMES, min_size=1, max_size=6, unique=True))
    tasks = []
    for position, task_id in enumerate(ids):
        upstream = sorted(draw(st.sets(st.sampled_from(ids[:position])))) if position else []
        tasks.append(
            {
                "task_id": task_id,
                "task_display_name": draw(TEXT),
                "operator": "X",
                "operator_name": "@task",
                "class": "m.X",
                "kind": "python",
                "depends_on": upstream,
                "call_args": draw(st.dictionaries(NAMES, VALUES, max_size=3)),
                "retry_delay_seconds": draw(st.floats(0, 1e6)),
            }
        )
    return {
        "dag_id": draw(NAMES),
        "dag_display_name": draw(TEXT),
        "description": draw(st.none() | TEXT),
        "params": {name: {"value": draw(VALUES), "schema": {}} for name in draw(st.sets(NAMES, max_size=3))},
        "source": {"path": "dag.py", "tree_hash": "0", "code": draw(TEXT)},
        "tasks": sorted(tasks, key=lambda task: str(task["task_id"])),
    }


def shuffled(value: Any, rng: random.Random) -> Any:
    if isinstance(value, dict):
        items = [(key, shuffled(item, rng)) for key, item in value.items()]
        rng.shuffle(items)
        return dict(items)
    return [shuffled(item, rng) for item in value] if isinstance(value, list) else value


@given(specs(), st.randoms(use_true_random=False))
def test_the_canonical_form_is_stable(value: dict[str, Any], rng: random.Random) -> None:
    spec = DagSpec.model_validate(value).with_content_hash()
    encoded = canonical_bytes(spec)
    again = DagSpec.model_validate(shuffled(value, rng)).with_content_hash()
    assert canonical_bytes(again) == encoded
    assert canonical_bytes(DagSpec.model_validate_json(encoded)) == encoded
    assert content_hash(DagSpec.model_validate(json.loads(encoded))) == spec.content_hash
