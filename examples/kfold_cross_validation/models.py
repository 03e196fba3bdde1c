"""Data with a known shape, and two models to fit it with."""

import random
from collections.abc import Callable

Point = tuple[float, float]
Predict = Callable[[float], float]


def make_points(count: int) -> list[Point]:
    """Return the same noisy parabola every time it is asked for `count` points."""
    noise = random.Random(42)
    xs = [noise.uniform(-1, 1) for _ in range(count)]
    return [(x, x * x - 0.5 * x + noise.gauss(0, 0.1)) for x in xs]


def fit_line(points: list[Point]) -> Predict:
    """Least squares with a straight line."""
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / spread
    return lambda x: mean_y + slope * (x - mean_x)


def fit_neighbours(points: list[Point], count: int = 5) -> Predict:
    """The mean of the nearest points."""

    def predict(x: float) -> float:
        nearest = sorted(points, key=lambda point: abs(point[0] - x))[:count]
        return sum(y for _, y in nearest) / len(nearest)

    return predict


def mean_squared_error(predict: Predict, points: list[Point]) -> float:
    """How far the predictions are off, on average."""
    return sum((predict(x) - y) ** 2 for x, y in points) / len(points)


MODELS: dict[str, Callable[[list[Point]], Predict]] = {"line": fit_line, "neighbours": fit_neighbours}
