"""A chain of no-op tasks, each returning when its user code ran. The benchmark writes its own number of tasks."""

import time
from datetime import datetime

from airflow.sdk import DAG, task

TASKS = 50

with DAG("bench_chain", schedule=None, start_date=datetime(2025, 1, 1), max_active_tasks=64):

    @task
    def step(_previous: float | None = None) -> float:
        return time.time()

    value = None
    for _ in range(TASKS):
        value = step(value)
