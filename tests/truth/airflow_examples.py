"""Which of Airflow's example DAGs are compared, which are not and why, and in which order they run.

Shared by the script that records how they end under Airflow 3.2.2 and by the test that runs them here.
"""

FOLDERS = ("example_dags", "providers/standard/example_dags")
"""Inside the `airflow` package: the examples of `apache-airflow-core` and of `apache-airflow-providers-standard`."""

EXCLUDED = {
    "example_dag_decorator": "calls a web service",
    "tutorial_objectstorage": "needs an object store and a web service",
    "tutorial_taskflow_api_virtualenv": "installs packages from an index while it runs",
    "example_python_decorator": "installs packages from an index while it runs",
    "example_python_operator": "installs packages from an index while it runs",
    "example_branch_operator": "installs packages from an index while it runs, and branches at random",
    "example_branch_python_operator_decorator": "installs packages from an index while it runs, and branches at random",
    "example_sensors": "waits for an hour and depends on the day; two of its tasks race for one file",
    "example_params_ui_tutorial": "has a required parameter without a value",
    "example_external_task": "triggers a run of child_dag and waits for one; which it meets is a matter of time",
    "example_hitl_operator": "waits for a person, and for a mail server",
    "example_measurement_correction_decorator": "waits for a person",
    "example_measurement_correction_operator": "waits for a person",
    "example_custom_weight": "an import error under Airflow too: its weight rule is registered under another name",
    "example_workday_timetable": "an import error under Airflow too: its timetable is registered under another name",
    "example_branch_datetime_operator_2": "branches by the time of day",
    "example_weekday_branch_operator": "branches by the day of the week",
}
"""DAG id to the reason why it is not run."""

WATCHED = {"example_asset_with_watchers": "/tmp/test"}
"""DAG id to the file whose coming starts it; not triggered. Here another test runs them, with a file of its own."""

FIRST = (
    "asset_with_extra_by_yield",
    "asset_with_extra_by_context",
    "asset_with_extra_from_classic_operator",
    "asset_s3_bucket_producer",
    "asset_s3_bucket_producer_with_no_taskflow",
    "asset_alias_example_alias_producer",
    "asset_alias_example_alias_producer_with_no_taskflow",
    "asset_produces_1",
    "asset_produces_2",
)
"""These run to their end before the others start, because others read their asset events."""

LOGICAL_DATE = "2026-05-04T00:00:00Z"
"""Every run has it, a Monday; so what depends on the logical date is the same everywhere."""
