"""Per-file processing: which files there are is found at run time, each gets an instance of its own."""

import csv
import random
import tempfile
from pathlib import Path

from airflow.sdk import DAG, get_current_context, task

INBOX = Path(tempfile.gettempdir()) / "leoflow-example-inbox"

with DAG(
    "new_files",
    description="Every file of the inbox is checked and summed on its own, then all are reported together",
    schedule=None,
    tags=["example", "mapping"],
):

    @task
    def find_files() -> list[str]:
        """List the files of the inbox; the example puts some there first."""
        INBOX.mkdir(exist_ok=True)
        for shop in ("basel", "bern", "chur", "genf"):
            with (INBOX / f"{shop}.csv").open("w", newline="") as stream:
                csv.writer(stream).writerows((item, random.randint(1, 9)) for item in ("bread", "milk", "salt"))
        return sorted(str(path) for path in INBOX.glob("*.csv"))

    @task(retries=2, map_index_template="{{ shop }}")
    def read(path: str, currency: str) -> dict:
        """Sum one file. A broken file fails and is retried alone."""
        shop = Path(path).stem
        get_current_context()["shop"] = shop  # the instance's name in the UI
        with Path(path).open(newline="") as stream:
            return {"shop": shop, "total": sum(int(amount) for _, amount in csv.reader(stream)), "currency": currency}

    @task
    def report(files: list[dict]) -> dict[str, int]:
        """Add up; `files` is a lazy sequence with one value per file."""
        totals = {each["shop"]: each["total"] for each in files}
        print(f"{len(totals)} files: {totals}")
        return totals

    report(read.partial(currency="CHF").expand(path=find_files()))
