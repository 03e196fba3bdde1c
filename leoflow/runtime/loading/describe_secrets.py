"""Finds the connections and variables a DAG names: those are declared by it, as those of leoflow.yaml are.

Named are: the value of every argument called `…conn_id` of operators, notifiers and triggers of watchers; `var.value`,
`var.json` and `conn` in templates and template files; `smtp_default` by `email=`; and what `executor_config["leoflow"]`
lists under `connections` and `variables`. What the functions of tasks do is not looked at.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import jinja2
from jinja2 import nodes

from leoflow.runtime.loading.failures import Failure

_DEPTH = 20
_MAIL = "smtp_default"
"""Through which the SDK sends the mails of `email=`."""
_KINDS = ("connections", "variables")
_CALLBACKS = (
    "on_execute_callback",
    "on_failure_callback",
    "on_retry_callback",
    "on_skipped_callback",
    "on_success_callback",
)


def named_secrets(dag: Any) -> "dict[str, set[str]]":
    """Return the names of connections and of variables that the DAG's tasks name.

    Raises:
        Failure: `executor_config["leoflow"]` is malformed.
    """
    found: dict[str, set[str]] = {kind: set() for kind in _KINDS}
    found["connections"].update(_of_callbacks(dag))
    for task in dag.task_dict.values():
        arguments = dict(_arguments(task))
        if getattr(task, "email", None):
            found["connections"].add(_MAIL)
        found["connections"].update(_conn_ids(arguments), _of_callbacks(task))
        for name in task.template_fields:
            for text in _texts(arguments.get(name), _DEPTH):
                for kind, secret in _in_template(_source(task, text)):
                    found[kind].add(secret)
        for kind, names in _explicit(task).items():
            found[kind].update(names)
    return found


def watcher_connections(described: Any) -> "set[str]":
    """Return the connections that the triggers of asset watchers name, anywhere in a description."""
    if isinstance(described, list):
        return {name for each in described for name in watcher_connections(each)}
    if not isinstance(described, Mapping):
        return set()
    watchers = described.get("watchers") if described.get("type") == "asset" else None
    own = {name for each in watchers or () for name in _conn_ids(each["trigger"]["kwargs"])}
    return own | {name for key in ("expression", "objects") for name in watcher_connections(described.get(key))}


def _conn_ids(arguments: "Mapping[str, Any]") -> "set[str]":
    return {
        value
        for name, value in arguments.items()
        if name.endswith("conn_id") and isinstance(value, str) and value and "{" not in value
    }


def _of_callbacks(owner: Any) -> "set[str]":
    """Return the connections that the notifiers of a task or DAG name."""
    given = [getattr(owner, name, None) for name in _CALLBACKS]
    callbacks = [one for each in given for one in (each if isinstance(each, (list, tuple)) else [each])]
    return {name for one in callbacks if hasattr(one, "__dict__") for name in _conn_ids(vars(one))}


def _arguments(task: Any) -> "Iterator[tuple[str, Any]]":
    """Yield the attributes of a plain task; of a mapped one what it is given, and its class's defaults."""
    if not task.is_mapped:
        yield from vars(task).items()
        return
    import inspect

    for kind in reversed(task.operator_class.__mro__):
        parameters = inspect.signature(kind.__init__).parameters.values() if "__init__" in vars(kind) else ()
        yield from ((one.name, one.default) for one in parameters if isinstance(one.default, str))
    yield from task.partial_kwargs.items()
    expanded = task._get_specified_expand_input().value
    for given in expanded if isinstance(expanded, (list, tuple)) else [expanded]:
        if isinstance(given, Mapping):
            for name, values in given.items():
                yield name, values
                if name.endswith("conn_id") and isinstance(values, (list, tuple)):
                    yield from ((f"{at} {name}", value) for at, value in enumerate(values))


def _texts(value: Any, depth: int) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif depth and isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item, depth - 1)
    elif depth and isinstance(value, (list, tuple, set)):
        for item in value:
            yield from _texts(item, depth - 1)


def _source(task: Any, text: str) -> str:
    """Return the text, or the content of the template file it names."""
    if task.template_ext and text.endswith(tuple(task.template_ext)):
        try:
            environment = task.get_template_env() if not task.is_mapped else task.get_dag().get_template_env()
            return str(environment.loader.get_source(environment, text)[0])
        except (jinja2.TemplateError, OSError, AttributeError):
            return ""
    return text


def _in_template(text: str) -> "Iterator[tuple[str, str]]":
    """Yield kind and name of what a template asks for by a literal name."""
    if "{{" not in text and "{%" not in text:
        return
    try:
        tree = jinja2.Environment(autoescape=False).parse(text)
    except jinja2.TemplateError:
        return  # an error of the task that renders it
    node: Any
    for node in tree.find_all((nodes.Getattr, nodes.Getitem)):
        name = _literal_step(node)
        path = _path(node.node)
        if path == ("conn",) and name not in (None, "get"):
            yield "connections", str(name)
        elif path in (("var", "value"), ("var", "json")) and name not in (None, "get"):
            yield "variables", str(name)
    for call in tree.find_all(nodes.Call):
        path = _path(call.node)
        if path and path[-1] == "get" and call.args and isinstance(call.args[0], nodes.Const):
            kind = {("conn",): "connections", ("var", "value"): "variables", ("var", "json"): "variables"}.get(
                path[:-1]
            )
            if kind:
                yield kind, str(call.args[0].value)


def _literal_step(node: Any) -> "str | None":
    if isinstance(node, nodes.Getattr):
        return node.attr
    return str(node.arg.value) if isinstance(node.arg, nodes.Const) else None


def _path(node: Any) -> "tuple[str, ...]":
    """Return `a.b.c` as its parts; empty for anything else."""
    if isinstance(node, nodes.Name):
        return (node.name,)
    if isinstance(node, (nodes.Getattr, nodes.Getitem)):
        before, step = _path(node.node), _literal_step(node)
        return (*before, step) if before and step else ()
    return ()


def _explicit(task: Any) -> "dict[str, list[str]]":
    config = task.partial_kwargs.get("executor_config") if task.is_mapped else task.executor_config
    ours = config.get("leoflow") if isinstance(config, Mapping) else None
    if ours is None:
        return {}
    about = f"task {task.task_id!r}: executor_config['leoflow']"
    hint = 'For example executor_config={"leoflow": {"connections": ["warehouse"], "variables": ["region"]}}.'
    if not isinstance(ours, Mapping) or set(ours) - set(_KINDS):
        raise Failure(f"{about} may have connections and variables", rule="executor-config", hint=hint)
    for kind, names in ours.items():
        if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) and name for name in names):
            raise Failure(f"{about}[{kind!r}] must be a list of names", rule="executor-config", hint=hint)
    return {kind: list(names) for kind, names in ours.items()}
