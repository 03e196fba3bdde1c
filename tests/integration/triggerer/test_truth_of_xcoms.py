"""What becomes of values that tasks push, as recorded from Airflow 3.2.2."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import truth
from tests.integration.worker.harness import Harness
from tests.truth import xcoms

pytestmark = pytest.mark.anyio

HERE = Path(truth.__file__).parent

KEPT_HERE = {
    "decimal_nan": "Decimal: Decimal('NaN')",
    "infinity": "float: inf",
    "minus_infinity": "float: -inf",
    "nan": "float: nan",
    "nan_inside": "dict: {'loss': [1.5, nan]}",
    "nul": "str: 'a\\x00b'",
    "nul_key": "dict: {'a\\x00b': 1}",
}
"""Airflow's database refuses these, so that the task that returns them fails; here they arrive."""

ARRIVES_HERE = {"deep_200", "largest_float"}
"""Airflow stores these and fails when the next task takes them."""

SHOWN_OTHERWISE = {"asset", "reserved_word", "text_nan", "minus_zero"}
"""-0.0 keeps its sign; `deserialize` shows an Asset as any object, and leaves texts and keys that only look special."""


async def test_values_arrive_as_with_airflow(harness: Harness, client: httpx.AsyncClient) -> None:
    await harness.register((HERE / "dags" / "xcoms.py").read_text(), name="values")
    said = await xcoms.walk(client)
    recorded: dict[str, Any] = json.loads((HERE / "xcoms.json").read_text())
    assert said.keys() == recorded.keys()
    assert {name: said[name]["taken"] for name in KEPT_HERE} == KEPT_HERE
    assert {recorded[name]["push"] for name in KEPT_HERE} == {"failed"}
    assert {(said[name]["take"], recorded[name]["take"]) for name in ARRIVES_HERE} == {("success", "failed")}
    assert said["minus_zero"]["taken"] == "float: -0.0"
    for name in recorded.keys() - KEPT_HERE.keys() - ARRIVES_HERE - SHOWN_OTHERWISE:
        assert xcoms.comparable(said[name]) == xcoms.comparable(recorded[name]), name
    for name in SHOWN_OTHERWISE - {"minus_zero"}:
        assert {**said[name], "api": None} == {**recorded[name], "api": None}, name
