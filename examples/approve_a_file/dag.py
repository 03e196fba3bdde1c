"""Wait for a file without holding a worker, ask a person, publish: deferrable operators and human in the loop."""

import tempfile
import time
from datetime import datetime, timedelta
from pathlib import Path

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.providers.standard.sensors.filesystem import FileSensor
from airflow.sdk import DAG, task

INBOX = Path(tempfile.gettempdir()) / "leoflow-approve-a-file"

with DAG(
    "approve_a_file",
    description="A file arrives, somebody looks at it, it is published",
    schedule=None,
    start_date=datetime(2026, 1, 1),
    tags=["example", "human in the loop"],
):

    @task
    def deliver(run_id: str | None = None) -> None:
        """Play the partner who delivers: in real life, this is not your task."""
        time.sleep(3)
        INBOX.mkdir(exist_ok=True)
        (INBOX / f"{run_id}.csv").write_text("id,amount\n1,120.50\n2,80.00\n")

    # Both wait in the triggerer: no worker, no slot.
    wait = FileSensor(
        task_id="wait_for_file",
        filepath=f"{INBOX}/{{{{ run_id }}}}.csv",
        poke_interval=2,
        timeout=timedelta(hours=6).total_seconds(),
        deferrable=True,
    )
    approve = ApprovalOperator(
        task_id="approve",
        subject="Publish {{ run_id }}.csv?",
        body="The file is there. Answer under **Required actions**; after 45 seconds it counts as approved.",
        defaults="Approve",
        response_timeout=timedelta(seconds=45),
    )

    @task
    def publish(run_id: str | None = None) -> int:
        """Count the rows that were approved; skipped when the answer is no."""
        path = INBOX / f"{run_id}.csv"
        rows = path.read_text().splitlines()[1:]
        path.unlink()
        return len(rows)

    deliver()
    wait >> approve >> publish()
