"""Five-fold cross-validation of two models: every fold of every model is a task, and each model has its reducer.

Shows two reduce levels, a helper module beside the DAG, and params that can be changed when a run is triggered.
"""

from statistics import mean, stdev

from airflow.sdk import Param, dag, task
from models import MODELS, make_points, mean_squared_error

FOLDS = 5


@dag(
    description="Which model generalises better?",
    params={"samples": Param(120, type="integer", minimum=20, maximum=5000, description="Size of the data set")},
    tags=["example", "ml"],
)
def kfold_cross_validation():
    @task
    def fold(model: str, index: int, params: dict | None = None) -> float:
        """Train on all folds but one, and return the error on that one."""
        points = make_points(params["samples"])
        held_out = points[index::FOLDS]
        training = [point for number, point in enumerate(points) if number % FOLDS != index]
        predict = MODELS[model](training)
        error = mean_squared_error(predict, held_out)
        print(f"{model}, fold {index}: trained on {len(training)}, error {error:.4f} on {len(held_out)}")
        return error

    @task
    def score(model: str, errors: list[float]) -> dict:
        """Summarise the folds of one model."""
        return {"model": model, "error": round(mean(errors), 4), "spread": round(stdev(errors), 4)}

    @task
    def choose(scores: list[dict]) -> str:
        """Name the model with the smallest error on data it has not seen."""
        for result in scores:
            print(f"{result['model']:>10}: {result['error']} ± {result['spread']}")
        return min(scores, key=lambda result: result["error"])["model"]

    choose([score(model, [fold(model, index) for index in range(FOLDS)]) for model in MODELS])


kfold_cross_validation()
