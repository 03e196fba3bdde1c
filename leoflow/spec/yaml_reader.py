"""Reads leoflow.yaml: every error names the line, the field and, for a typing mistake, the nearest valid name."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from leoflow.errors import LeoflowError
from leoflow.spec.leoflow_yaml import LeoflowYaml

MAX_BYTES = 1 << 20
MAX_NODES = 50_000
MAX_DEPTH = 50

FieldPath = tuple[str | int, ...]


class YamlError(LeoflowError):
    """leoflow.yaml is wrong at `line` (1-based)."""

    def __init__(self, what: str, *, file: str, line: int | None = None, hint: str = "") -> None:
        super().__init__(what, where=f"{file}:{line}" if line else file, hint=hint)
        self.file = file
        self.line = line


@dataclass(slots=True)
class Document:
    """The plain value of a YAML file and the line of each of its keys and items."""

    value: Any
    lines: dict[FieldPath, int] = field(default_factory=dict)

    def line_of(self, path: FieldPath) -> int | None:
        """Return the line of `path`, or of the nearest enclosing key that has one."""
        while path not in self.lines and path:
            path = path[:-1]
        return self.lines.get(path)


def nearest(name: str, valid: Iterable[str]) -> str | None:
    """Return the valid name the user most likely meant, if any is near."""
    matches = difflib.get_close_matches(name, list(valid), n=1, cutoff=0.6)
    return matches[0] if matches else None


def read_leoflow_yaml(path: Path, *, label: str = "leoflow.yaml") -> LeoflowYaml:
    """Read and validate a file; `label` names it in errors."""
    return read_with_lines(path, label=label)[0]


def read_with_lines(path: Path, *, label: str = "leoflow.yaml") -> tuple[LeoflowYaml, Document]:
    """Read and validate a file, and keep its lines for errors found later (unknown task ids)."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise YamlError("cannot be read", file=label, hint=str(error.strerror)) from error
    document = parse_document(data, label=label)
    return validate_document(document, label=label), document


def parse_document(data: bytes, *, label: str) -> Document:
    """Parse YAML into plain values with lines; refuses what is huge, deep, duplicated or not text."""
    if len(data) > MAX_BYTES:
        raise YamlError(f"is larger than {MAX_BYTES} bytes", file=label, hint="Move data out of leoflow.yaml.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise YamlError("is not UTF-8", file=label, line=line, hint="Save the file as UTF-8.") from error
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = error.problem or error.context or "cannot be parsed"
        where = mark.line + 1 if mark else None
        raise YamlError(
            f"invalid YAML: {problem}", file=label, line=where, hint="Check indentation and quotes."
        ) from None
    except (yaml.YAMLError, RecursionError) as error:
        raise YamlError("invalid YAML", file=label, hint=" ".join(str(error).split())) from None
    document = Document(None)
    if root is not None:
        document.value = _Builder(label, document.lines).build(root, (), 0)
    return document


class _Builder:
    """Turns YAML nodes into plain values, counting nodes so that aliases cannot multiply."""

    def __init__(self, label: str, lines: dict[FieldPath, int]) -> None:
        self._label = label
        self._lines = lines
        self._count = 0
        self._scalars = yaml.constructor.SafeConstructor()

    def build(self, node: yaml.Node, path: FieldPath, depth: int) -> Any:
        line = node.start_mark.line + 1
        self._lines.setdefault(path, line)
        self._count += 1
        if self._count > MAX_NODES or depth > MAX_DEPTH:
            raise YamlError("is too large once its aliases are expanded", file=self._label, line=line)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path, depth)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*path, index), depth + 1) for index, item in enumerate(node.value)]
        return self._scalar(node, line)

    def _mapping(self, node: yaml.MappingNode, path: FieldPath, depth: int) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise YamlError("keys must be plain text", file=self._label, line=line)
            key = key_node.value
            if key in result:
                first = self._lines[(*path, key)]
                raise YamlError(
                    f"key {key!r} is given twice (first in line {first})",
                    file=self._label,
                    line=line,
                    hint="Keep one of them.",
                )
            self._lines[(*path, key)] = line
            result[key] = self.build(value_node, (*path, key), depth + 1)
        return result

    def _scalar(self, node: yaml.Node, line: int) -> Any:
        try:
            value = self._scalars.construct_object(node)
        except (yaml.YAMLError, ValueError) as error:
            raise YamlError(f"invalid value: {' '.join(str(error).split())}", file=self._label, line=line) from None
        # YAML reads 2026-01-01 as a date; this file has no dates, so the author meant the text.
        return value if isinstance(value, str | int | float | bool | None) else node.value


def validate_document(document: Document, *, label: str) -> LeoflowYaml:
    """Validate parsed YAML; raises for the first error in file order."""
    value = {} if document.value is None else document.value
    if not isinstance(value, dict):
        raise YamlError("must be a mapping of keys to values", file=label, line=document.line_of(()))
    try:
        return LeoflowYaml.model_validate(value)
    except ValidationError as error:
        problems = [_explain(problem, document, label) for problem in error.errors()]
        raise min(problems, key=lambda problem: problem.line or 0) from None


def _explain(problem: Mapping[str, Any], document: Document, label: str) -> YamlError:
    path = tuple(part for part in problem["loc"] if part != "[key]")
    line = document.line_of(path)
    name = ".".join(str(part) for part in path)
    if problem["type"] == "extra_forbidden":
        valid = valid_keys(path[:-1])
        guess = nearest(str(path[-1]), valid)
        hint = f"Did you mean {guess!r}?" if guess else f"Valid keys here: {', '.join(sorted(valid))}."
        return YamlError(f"unknown key {name!r}", file=label, line=line, hint=hint)
    message = problem["msg"].removeprefix("Value error, ")
    return YamlError(f"{name}: {message[:1].lower()}{message[1:]}", file=label, line=line, hint=_hint(problem))


def _hint(problem: Mapping[str, Any]) -> str:
    given = problem.get("input")
    if isinstance(given, str | int | float | bool):
        hint = f"The value is {given!r}."
        if isinstance(given, int | float) and "string" in problem["type"]:
            hint += " Put it in quotes."
        return hint
    return "See the reference of leoflow.yaml in docs/schemas."


def valid_keys(path: FieldPath) -> set[str]:
    """Return the keys allowed in the mapping at `path`."""
    annotation: Any = LeoflowYaml
    for part in path:
        if get_origin(annotation) in (list, dict):
            annotation = get_args(annotation)[-1]
        else:
            model = _model_in(annotation)
            found = model.model_fields.get(str(part)) if model else None
            annotation = found.annotation if found else None
    model = _model_in(annotation)
    return set(model.model_fields) if model else set()


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """Find the model in `X` or `X | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (Union, UnionType):
        return next((model for arg in get_args(annotation) if (model := _model_in(arg))), None)
    return None
