"""Monte Carlo: sixteen independent simulations with their own seeds, averaged into one estimate of pi."""

import random
from math import pi, sqrt
from statistics import mean, stdev

from airflow.sdk import dag, task

SIMULATIONS = 16
DARTS = 20_000


@dag(description="Estimate pi by throwing darts, in parallel", tags=["example", "simulation"])
def monte_carlo_pi():
    @task
    def simulate(seed: int) -> float:
        """Throw darts at a square and count those inside the quarter circle."""
        throw = random.Random(seed).random
        hits = sum(throw() ** 2 + throw() ** 2 <= 1 for _ in range(DARTS))
        return 4 * hits / DARTS

    @task
    def estimate(results: list[float]) -> dict:
        """Combine the simulations and say how sure we are."""
        value, error = mean(results), stdev(results) / sqrt(len(results))
        print(f"pi = {value:.4f} ± {error:.4f} ({len(results) * DARTS:,} darts; off by {abs(value - pi):.4f})")
        return {"pi": value, "standard_error": error}

    estimate([simulate(seed) for seed in range(SIMULATIONS)])


monte_carlo_pi()
