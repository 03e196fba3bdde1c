"""Independent no-op tasks, each returning when its user code ran. The benchmark writes its own number of tasks."""

import time
from datetime import datetime

from airflow.sdk import DAG, task

TASKS = 1000

with DAG("bench_wide", schedule=None, start_date=datetime(2025, 1, 1), max_active_tasks=TASKS):

    @task
    def noop() -> float:
        return time.time()

    for _ in range(TASKS):
        noop()
