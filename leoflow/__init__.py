"""Leoflow runs Airflow DAGs with Postgres as the orchestrator.

Layers, upper may import lower: `cli`, `lite` → `api`, `worker`, `scheduler` → `execution`, `compiler` →
`environments`, `engine` → `db`, `spec`. `runtime` stands alone: it runs beside user code in the project's
own interpreter and imports nothing else of Leoflow.
"""

__version__ = "0.1.0"

AIRFLOW_VERSION = "3.2.2"
"""The Airflow whose API, UI and DAG semantics this version speaks."""

TASK_SDK_VERSION = "1.2.2"
"""The `apache-airflow-task-sdk` release of that Airflow."""
