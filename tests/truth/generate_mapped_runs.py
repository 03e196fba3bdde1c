"""Run the DAGs of `dags/mapped.py` and `dags/nested.py` with Airflow 3.2.2's own scheduling decisions; note their ends.

Run in an environment of its own with `apache-airflow==3.2.2`; the output is committed:

    python tests/truth/generate_mapped_runs.py tests/truth/mapped_runs.json [DAG_ID …]

The scheduler's loop is `DagRun.update_state` over a database; tasks run one after the other in this process. Each DAG
has an entry `{"state": …, "instances": {"task[map_index]": state}, "values": {"task[map_index]": return value}}`.
"""

import functools
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

HOME = tempfile.mkdtemp()
DAGS = Path(__file__).resolve().parent / "dags"
os.environ |= {
    "AIRFLOW_HOME": HOME,
    "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
    "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
}

ROUNDS = 60


def name_of(one: Any) -> str:
    return one.task_id if one.map_index < 0 else f"{one.task_id}[{one.map_index}]"


def drive(dag: Any, run: Any, session: Any) -> None:
    """Go round as the scheduler does, until the run ends."""
    from airflow.sdk.definitions.dag import _run_task
    from airflow.utils.state import DagRunState, TaskInstanceState

    for _ in range(ROUNDS):
        session.expire_all()
        ready, _ = run.update_state(session=session, execute_callbacks=False)
        for one in ready:
            one.try_number += 1
            one.state = TaskInstanceState.SCHEDULED
        session.commit()
        if run.state != DagRunState.RUNNING:
            return
        waiting = run.get_task_instances(session=session, state=[TaskInstanceState.SCHEDULED])
        for task_id, map_index in [(one.task_id, one.map_index) for one in waiting]:
            session.expire_all()
            one = run.get_task_instance(task_id, session=session, map_index=map_index)
            if one.state != TaskInstanceState.SCHEDULED:
                continue  # skipped or failed by one before it
            if dag.task_dict[one.task_id].task_type == "EmptyOperator":
                one.set_state(TaskInstanceState.SUCCESS, session=session)  # the scheduler does so without running it
                session.commit()
                continue
            try:
                _run_task(ti=one, task=dag.task_dict[one.task_id])
            except Exception as error:
                sys.stderr.write(f"cannot run {dag.dag_id} {name_of(one)}: {error!r:.200}\n")
            session.commit()
    sys.stderr.write(f"does not end: {dag.dag_id}\n")


def outcome(dag: Any, session: Any) -> dict[str, Any]:
    """Run one DAG; those named `_again` twice."""
    from airflow._shared.timezones import timezone
    from airflow.models.dagrun import DagRun, get_or_create_dagrun
    from airflow.models.taskinstance import clear_task_instances
    from airflow.models.xcom import XComModel
    from airflow.serialization.serialized_objects import DagSerialization
    from airflow.utils.state import DagRunState
    from airflow.utils.types import DagRunTriggeredByType, DagRunType

    scheduled = DagSerialization.deserialize_dag(DagSerialization.serialize_dag(dag))
    now = timezone.utcnow()
    run = get_or_create_dagrun(
        dag=scheduled,
        start_date=now,
        logical_date=now,
        data_interval=None,
        run_after=now,
        run_id=DagRun.generate_run_id(run_type=DagRunType.MANUAL, logical_date=now, run_after=now),
        session=session,
        conf=None,
        triggered_by=DagRunTriggeredByType.TEST,
        triggering_user_name="truth",
    )
    drive(dag, run, session)
    if dag.dag_id.endswith("_again"):
        found = run.get_task_instances(session=session)
        clear_task_instances([one for one in found if one.task_id.endswith("_alone")] or found, session)
        run.set_state(DagRunState.RUNNING)
        session.commit()
        drive(dag, run, session)
    found = sorted(run.get_task_instances(session=session), key=lambda one: (one.task_id, one.map_index))
    values = session.query(XComModel).filter(XComModel.run_id == run.run_id, XComModel.key == "return_value").all()
    return {
        "state": str(run.state),
        "instances": {name_of(one): one.state and str(one.state) for one in found},
        "values": {name_of(one): one.value for one in sorted(values, key=lambda one: (one.task_id, one.map_index))},
    }


def main() -> None:
    """Write one entry per DAG."""
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.dag_processing.dagbag import BundleDagBag, sync_bag_to_db
    from airflow.sdk.execution_time import supervisor
    from airflow.utils.db import initdb
    from airflow.utils.session import create_session

    # One API for all tasks: making it takes seconds.
    supervisor.in_process_api_server = functools.cache(supervisor.in_process_api_server)
    with create_session() as session:
        initdb(session)
    with create_session() as session:
        manager = DagBundlesManager()
        manager.sync_bundles_to_db(session=session)
        session.commit()
        bundle = next(iter(manager.get_all_dag_bundles()))
        bundle.initialize()
        bag = BundleDagBag(dag_folder=bundle.path, bundle_path=bundle.path, bundle_name=bundle.name)
        assert not bag.import_errors, bag.import_errors
        sync_bag_to_db(bag, bundle.name, bundle.version)
        session.commit()
        target = Path(sys.argv[1])
        rows = json.loads(target.read_text()) if target.exists() else {}
        for dag_id in sys.argv[2:] or sorted(bag.dags):
            rows[dag_id] = outcome(bag.dags[dag_id], session)
            # Airflow logs to standard output, so the data goes to a named file.
            lines = [f"{json.dumps(key)}: {json.dumps(row)}" for key, row in sorted(rows.items())]
            target.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
