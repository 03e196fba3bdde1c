"""An hourly ETL with a flaky source (retries), and a branch: a full report at midnight, a short one otherwise."""

from datetime import datetime, timedelta

from airflow.sdk import dag, task


class SourceUnavailableError(Exception):
    """The shop's API did not answer."""


@dag(
    description="Orders of the hour, from a source that sometimes does not answer",
    schedule="@hourly",
    start_date=datetime(2026, 1, 1),
    catchup=False,
    default_args={"owner": "shop", "retries": 2, "retry_delay": timedelta(seconds=1)},
    tags=["example", "etl"],
)
def hourly_orders():
    @task
    def fetch(ti=None) -> list[dict]:
        """Fetch the orders; the source always fails the first time it is asked."""
        if ti.try_number == 1:
            raise SourceUnavailableError("503, try again")
        return [{"item": "book", "price": 18.0}, {"item": "pen", "price": 2.5}, {"item": "book", "price": 22.0}]

    @task
    def summarise(orders: list[dict]) -> dict[str, float]:
        """Total the orders per item."""
        items = sorted({order["item"] for order in orders})
        return {item: sum(order["price"] for order in orders if order["item"] == item) for item in items}

    @task.branch
    def choose_report(dag_run=None) -> str:
        """Midnight gets the full report."""
        return "full_report" if dag_run.run_after.hour == 0 else "short_report"

    @task
    def short_report(totals: dict[str, float]) -> str:
        """One line."""
        return f"{sum(totals.values()):.2f} in total"

    @task
    def full_report(totals: dict[str, float]) -> str:
        """One line per item."""
        return "\n".join(f"{item}: {total:.2f}" for item, total in totals.items())

    @task(trigger_rule="none_failed_min_one_success")
    def publish(reports: list[str | None]) -> str:
        """Publish whichever report was made; the one not chosen is None."""
        report = next(text for text in reports if text is not None)
        print(report)
        return report

    totals = summarise(fetch())
    reports = [short_report(totals), full_report(totals)]
    choose_report() >> reports
    publish(reports)


hourly_orders()
