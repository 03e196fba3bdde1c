"""What an attempt would make anew from its DAG or from Airflow's configuration alone, made before the fork."""

import contextlib
from collections.abc import Iterable
from typing import Any


class Prepared:
    """Results made before the fork, for as long as the environment variables they depend on are the parent's."""

    def __init__(self) -> None:
        self._is_valid = True

    def once(self, function: Any) -> Any:
        """Return a function that calls `function` once, and again in attempts with a configuration of their own."""
        made: list[Any] = []

        def prepared(*arguments: Any) -> Any:
            if not self._is_valid:
                return function(*arguments)
            if not made:
                made.append(function(*arguments))
            return made[0]

        return prepared

    def forget(self) -> None:
        """Use nothing that was prepared."""
        self._is_valid = False


class TemplateEnvironments:
    """Stands in for `DAG.get_template_env`: the first request for a loaded DAG's environment finds it made.

    Only the first: an environment can be changed by who receives it.
    """

    def __init__(self, dag_class: Any) -> None:
        self._made: dict[int, Any] = {}
        make = self._make = dag_class.get_template_env
        made = self._made

        def get_template_env(dag: Any, *, force_sandboxed: bool = False) -> Any:
            if not force_sandboxed and id(dag) in made:
                return made.pop(id(dag))
            return make(dag, force_sandboxed=force_sandboxed)

        dag_class.get_template_env = get_template_env

    def prepare(self, dags: "Iterable[Any]") -> None:
        """Make the environments of freshly loaded DAGs. One that cannot be made tells so in its tasks, as ever."""
        for dag in dags:
            with contextlib.suppress(Exception):
                self._made[id(dag)] = self._make(dag)
