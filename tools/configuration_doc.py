"""Writes docs/configuration.md from the settings classes: `python -m tools.configuration_doc`."""

from collections.abc import Iterator
from pathlib import Path
from types import NoneType
from typing import Any, get_args

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from leoflow.config import ENV_DELIMITER, ENV_PREFIX, Section, Settings

TARGET = Path(__file__).parent.parent / "docs" / "configuration.md"

_INTRODUCTION = """\
# Configuration

Written by `python -m tools.configuration_doc` from `leoflow/config.py`; edit that.

Each setting is looked for in an environment variable, then in `$LEOFLOW_HOME/config.toml`, then its default holds.
`LEOFLOW_HOME` itself defaults to `~/.leoflow`. Options of a command win over all of them. `leoflow doctor` says when
something is wrong.

```toml
# config.toml
port = 8090

[postgres]
pool_max_size = 20
```

Besides these, `LEOFLOW_DEBUG=1` means `--debug`, and the tests read `LEOFLOW_TEST_DATABASE_URL` (a Postgres whose user
may create databases) and `LEOFLOW_TEST_HOME` (where they keep environments).
"""


def render() -> str:
    """The whole page."""
    own = {name: field for name, field in Settings.model_fields.items() if not _section(field)}
    parts = [_INTRODUCTION, "## Top level\n", "\n".join(_table(own, ()))]
    for name, field in Settings.model_fields.items():
        section = _section(field)
        if section:
            parts += [f"\n## `[{name}]`\n", f"{(section.__doc__ or '').strip()}\n"]
            parts.append("\n".join(_table(section.model_fields, (name,))))
    return "\n".join(parts) + "\n"


def _section(field: FieldInfo) -> type[Section] | None:
    annotation = field.annotation
    return annotation if isinstance(annotation, type) and issubclass(annotation, Section) else None


def _table(fields: dict[str, FieldInfo], path: tuple[str, ...]) -> Iterator[str]:
    yield "| Key | Environment variable | Type | Default | Meaning |"
    yield "| --- | --- | --- | --- | --- |"
    for name, field in fields.items():
        variable = ENV_PREFIX + ENV_DELIMITER.join((*path, name)).upper()
        meaning = (field.description or "").replace("|", "\\|")
        yield f"| `{name}` | `{variable}` | {_type(field.annotation)} | {_default(name, field)} | {meaning} |"


def _type(annotation: Any) -> str:
    options = [option for option in get_args(annotation) if option is not NoneType]
    if options and NoneType in get_args(annotation):
        return " or ".join(_type(option) for option in options)
    names = {Path: "path", SecretStr: "secret", str: "text", int: "integer", float: "number", bool: "true or false"}
    return names.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _default(name: str, field: FieldInfo) -> str:
    if name == "home":
        return "`~/.leoflow`"
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is None:
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


if __name__ == "__main__":
    TARGET.write_text(render())
