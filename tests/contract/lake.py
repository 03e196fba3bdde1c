"""The DAGs with assets that Airflow 3.2.2's recorded answers are about, as specs."""

from typing import Any

RAW = {
    "type": "asset",
    "name": "raw_data",
    "uri": "s3://bucket/raw.csv",
    "group": "lake",
    "extra": {"team": "data"},
    "watchers": [],
}
CLEAN = {
    "type": "asset",
    "name": "clean_data",
    "uri": "s3://bucket/clean.csv",
    "group": "lake",
    "extra": {},
    "watchers": [],
}


def schedule(*assets: dict[str, Any]) -> dict[str, Any]:
    """`schedule=[…]`, with what Airflow says of it."""
    return {
        "schedule": {"type": "assets", "expression": {"type": "all", "objects": list(assets)}},
        "timetable_summary": "Asset",
        "timetable_description": "Triggered by assets",
    }


PRODUCER: dict[str, Any] = {"outlets": [RAW]}
CONSUMER: dict[str, Any] = {"inlets": [RAW], "outlets": [CLEAN]}
TRIGGER: dict[str, Any] = {
    "operator": "TriggerDagRunOperator",
    "operator_name": "TriggerDagRunOperator",
    "kind": "operator",
    "call_args": {"trigger_dag_id": "params_dag"},
}
