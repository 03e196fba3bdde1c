"""Questions to people, asked, answered, missed and asked again: what the API says, as recorded from Airflow 3.2.2."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from leoflow.triggerer import Triggerer
from tests import truth
from tests.integration.worker.harness import Harness
from tests.truth import hitl

pytestmark = pytest.mark.anyio

HERE = Path(truth.__file__).parent


async def test_people_are_asked_as_by_airflow(
    harness: Harness, triggerer: Triggerer, client: httpx.AsyncClient
) -> None:
    await harness.register((HERE / "dags" / "hitl.py").read_text(), name="people")
    said = hitl.comparable(await hitl.walk(client))
    recorded: dict[str, Any] = hitl.comparable(json.loads((HERE / "hitl.json").read_text()))
    assert {said.pop(f"answer {task_id}")[0] for task_id in hitl.REFUSED_HERE} == {422}
    assert {recorded.pop(f"answer {task_id}")[0] for task_id in hitl.REFUSED_HERE} == {200}
    assert (said["states"].pop("unknown_option"), recorded["states"].pop("unknown_option")) == ("success 1", "failed 1")
    different = {name: (answer, recorded.get(name)) for name, answer in said.items() if answer != recorded.get(name)}
    assert different == {}
    assert said.keys() == recorded.keys()
