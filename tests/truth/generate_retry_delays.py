"""Ask Airflow 3.2.2 how long it waits before each retry, for a range of settings.

Run in an environment of its own with `apache-airflow==3.2.2`; the output is committed:

    python tests/truth/generate_retry_delays.py tests/truth/retry_delays.json

Each row is `{dag_id, task_id, logical_date, try_number, retry_delay, multiplier, max_retry_delay, seconds}`, delays in
seconds; `logical_date` is what Airflow hashes for its deterministic jitter (`null` for a run without one).
"""

import itertools
import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from airflow.models.taskinstance import TaskInstance

END = datetime(2026, 1, 1, tzinfo=UTC)
LOGICAL_DATES = (None, datetime(2026, 3, 29, 6, tzinfo=UTC), datetime(2026, 1, 2, 3, 4, 5, 678900, tzinfo=UTC))
TRIES = (1, 2, 3, 5, 10, 40, 100)
DELAYS = (0.0, 0.3, 1.0, 30.0, 300.0, 86400.0)
MULTIPLIERS = (0.0, 1.0, 1.5, 2.0, 3.0)
CAPS = (None, 10.0, 3600.0)


def seconds(
    logical_date: datetime | None, try_number: int, delay: float, multiplier: float, cap: float | None
) -> float:
    """The delay Airflow adds to the attempt's end."""
    task = SimpleNamespace(
        retry_delay=timedelta(seconds=delay),
        retry_exponential_backoff=multiplier,
        max_retry_delay=None if cap is None else timedelta(seconds=cap),
    )
    instance: Any = SimpleNamespace(
        task=task,
        try_number=try_number,
        dag_id="etl_daily",
        task_id="load",
        logical_date=logical_date,
        end_date=END,
        log=SimpleNamespace(warning=lambda *_: None),
    )
    return float((TaskInstance.next_retry_datetime(instance) - END).total_seconds())


def main() -> None:
    """Write one JSON object per line."""
    rows = [
        {
            "dag_id": "etl_daily",
            "task_id": "load",
            "logical_date": None if date is None else date.isoformat(),
            "try_number": number,
            "retry_delay": delay,
            "multiplier": multiplier,
            "max_retry_delay": cap,
            "seconds": seconds(date, number, delay, multiplier, cap),
        }
        for date, number, delay, multiplier, cap in itertools.product(LOGICAL_DATES, TRIES, DELAYS, MULTIPLIERS, CAPS)
    ]
    Path(sys.argv[1]).write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")


if __name__ == "__main__":
    main()
