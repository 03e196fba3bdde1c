"""Generates docs/schemas/*.json from the models: `python -m leoflow.spec.schemas`."""

import json
from pathlib import Path
from typing import Any

from leoflow.spec.dag_spec import DagSpec
from leoflow.spec.leoflow_yaml import SCHEMA_FILE, LeoflowYaml

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schemas() -> dict[str, str]:
    """Return file name → text of each schema."""
    return {
        SCHEMA_FILE: _text(LeoflowYaml.model_json_schema(), "leoflow.yaml"),
        "dag-json.schema.json": _text(DagSpec.model_json_schema(mode="serialization"), "dag.json"),
    }


def _text(schema: dict[str, Any], title: str) -> str:
    return json.dumps({"$schema": DIALECT, **schema, "title": title}, indent=2, sort_keys=True) + "\n"


def main() -> None:
    """Write the schemas into the checkout."""
    directory = Path(__file__).parents[2] / "docs" / "schemas"
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in schemas().items():
        (directory / name).write_text(text)


if __name__ == "__main__":
    main()
