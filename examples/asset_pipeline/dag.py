"""A shop's sensors write readings, and what depends on them follows by itself: no schedule but the data's.

`collect_readings` writes a file with an asset event that says what is in it. `daily_summary` runs whenever readings
*and* prices have changed; `price_watch` whenever prices have.
"""

import json
import random
import tempfile
from datetime import datetime
from pathlib import Path

from airflow.sdk import Asset, Metadata, dag, task

FOLDER = Path(tempfile.gettempdir()) / "leoflow-asset-pipeline"
readings = Asset("readings", uri=f"file://localhost{FOLDER}/readings.json", group="shop")
prices = Asset("prices", uri=f"file://localhost{FOLDER}/prices.json", group="shop")
summary = Asset("summary", uri=f"file://localhost{FOLDER}/summary.json", group="shop")

COMMON = {"start_date": datetime(2026, 1, 1), "catchup": False, "tags": ["example", "assets"]}


def write(name: str, value: object) -> None:
    """Write a file as a whole, so that no reader ever sees half of it."""
    FOLDER.mkdir(exist_ok=True)
    unfinished = FOLDER / f"{name}.json.new"
    unfinished.write_text(json.dumps(value))
    unfinished.rename(FOLDER / f"{name}.json")


def read(name: str) -> list[float]:
    """Read such a file."""
    return json.loads((FOLDER / f"{name}.json").read_text())


@dag(schedule=None, description="Collects readings and prices; trigger it and watch the others follow", **COMMON)
def collect_readings():
    @task(outlets=[readings])
    def measure():
        """Write some readings, and say how many in the event."""
        values = [round(random.uniform(15, 25), 1) for _ in range(100)]
        write("readings", values)
        yield Metadata(readings, {"rows": len(values), "highest": max(values)})

    @task(outlets=[prices])
    def quote():
        """Write today's prices."""
        write("prices", [0.25, 0.31])

    measure()
    quote()


@dag(schedule=readings & prices, description="Runs when readings and prices have changed", **COMMON)
def daily_summary():
    @task(inlets=[readings, prices], outlets=[summary])
    def summarise(triggering_asset_events=None) -> dict[str, float]:
        """Say which events started this run, and price the readings."""
        for asset, events in triggering_asset_events.items():
            for event in events:
                print(f"{asset.name} changed at {event.timestamp:%H:%M:%S} by {event.source_task_id}: {event.extra}")
        values, (low, high) = read("readings"), read("prices")
        cost = sum(value * (high if value > 20 else low) for value in values)
        result = {"mean": round(sum(values) / len(values), 2), "cost": round(cost, 2)}
        write("summary", [result["mean"], result["cost"]])
        return result

    summarise()


@dag(schedule=[prices], description="Runs whenever prices have changed", **COMMON)
def price_watch():
    @task
    def compare() -> str:
        """Look at the newest prices."""
        low, high = read("prices")
        return f"peak hours cost {high / low:.0%} of the others"

    compare()


collect_readings()
daily_summary()
price_watch()
