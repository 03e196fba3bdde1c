"""A hyper-parameter search: one task per learning rate, and one that gets all results as a list."""

from airflow.sdk import DAG, task

with DAG("hparam_search", description="Find the learning rate with the lowest loss", tags=["example", "ml"]):

    @task
    def trial(lr: float) -> dict:
        """Fit y = 2x + 1 by gradient descent and report how far off the line ended."""
        points = [(x / 10, 2 * x / 10 + 1) for x in range(-10, 11)]
        slope = intercept = 0.0
        for _ in range(200):
            errors = [(slope * x + intercept - y, x) for x, y in points]
            slope -= lr * 2 * sum(error * x for error, x in errors) / len(points)
            intercept -= lr * 2 * sum(error for error, _ in errors) / len(points)
        loss = sum((slope * x + intercept - y) ** 2 for x, y in points) / len(points)
        print(f"lr={lr}: slope {slope:.4f}, intercept {intercept:.4f}, loss {loss:.2e}")
        return {"lr": lr, "loss": loss}

    @task
    def select_best(trials: list[dict]) -> dict:
        """Compare the trials; they arrive in the order they were written down."""
        best = min(trials, key=lambda result: result["loss"])
        print(f"best of {len(trials)}: lr={best['lr']} with loss {best['loss']:.2e}")
        return best

    select_best([trial(lr) for lr in [0.001, 0.01, 0.05, 0.1, 0.5]])
