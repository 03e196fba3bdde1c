"""docs/schemas is generated, and describes what the models accept."""

from pathlib import Path

from leoflow.spec.schemas import schemas

DIRECTORY = Path(__file__).parents[3] / "docs" / "schemas"


def test_the_committed_schemas_are_current() -> None:
    committed = {path.name: path.read_text() for path in DIRECTORY.glob("*.json")}
    assert committed == schemas(), "run: python -m leoflow.spec.schemas"
