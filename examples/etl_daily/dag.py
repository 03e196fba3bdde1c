"""A daily ETL: three plain functions, chained by calling them."""

from datetime import datetime

from airflow.sdk import DAG, task

with DAG(
    "etl_daily",
    description="Orders of the day, cleaned and totalled",
    schedule="0 6 * * *",
    start_date=datetime(2026, 1, 1),
    catchup=False,
    tags=["example", "etl"],
):

    @task
    def extract() -> list[dict]:
        """Read the raw orders, mistakes included."""
        return [
            {"id": 1, "country": "ch", "amount": "120.50"},
            {"id": 2, "country": "DE", "amount": "80.00"},
            {"id": 3, "country": "de", "amount": "not a number"},
            {"id": 4, "country": "CH", "amount": "15.25"},
        ]

    @task
    def transform(orders: list[dict]) -> list[dict]:
        """Keep the orders that can be read, in one spelling."""
        clean = []
        for order in orders:
            try:
                clean.append({"country": order["country"].upper(), "amount": float(order["amount"])})
            except ValueError:
                print(f"skipping order {order['id']}: {order['amount']!r} is not an amount")
        return clean

    @task
    def load(orders: list[dict]) -> dict[str, float]:
        """Total the orders per country."""
        totals: dict[str, float] = {}
        for order in orders:
            totals[order["country"]] = totals.get(order["country"], 0.0) + order["amount"]
        print(f"loaded {len(orders)} orders: {totals}")
        return totals

    load(transform(extract()))
