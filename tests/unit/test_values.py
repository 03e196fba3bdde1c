import json
from typing import Any

from leoflow.execution.values import without_nul
from leoflow.storable import find_flaw


def test_whatever_a_task_says_becomes_what_can_be_kept() -> None:
    deep: Any = []
    for _ in range(600):
        deep = [deep]
    said = {"a\x00": ["\ud800", float("nan"), float("-inf"), "\x00"], "deep": deep, 5: 2**80}
    kept = without_nul(said)
    assert find_flaw(kept) is None
    assert kept["a\ufffd"] == ["\ufffd", "nan", "-inf", "\ufffd"]
    assert kept["5"] == 2**80
    assert json.loads(json.dumps(kept)) == kept
