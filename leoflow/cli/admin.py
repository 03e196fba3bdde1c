"""What `variables`, `connections` and `pools` share: list, get, set, delete, import, export of things with a key."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from leoflow.cli.client import Client, Document, ServerRefusedError, api
from leoflow.cli.options import LimitOption, YesOption, confirm, read_file, usage
from leoflow.cli.output import Output, OutputOption, print_document, print_rows, show
from leoflow.cli.servers import ServerOption, connect

FileArgument = Annotated[Path, typer.Argument(help="A JSON or YAML file.")]


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind of thing.

    Attributes:
        noun: the collection's path and field: `variables`.
        key: the field that names one.
        columns: of the table.
        patch_key: the field that names one in a PATCH body, where that is another.
        fields: what export writes and import reads, the key left out.
        fixed: fields the server does not let change, by key.
    """

    noun: str
    key: str
    columns: tuple[str, ...]
    fields: tuple[str, ...]
    patch_key: str = ""
    fixed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def put(self, client: Client, entity: Document) -> str:
        """Create one, or change the one there is; says which."""
        name = entity[self.key]
        try:
            client.get(api(self.noun, name))
        except ServerRefusedError as error:
            if error.status != 404:
                raise
            client.post(api(self.noun), entity)
            return "created"
        fixed = self.fixed.get(name, ())
        changes = {key: value for key, value in entity.items() if key not in fixed}
        changes[self.patch_key or self.key] = name
        if self.patch_key:
            del changes[self.key]
        client.patch(api(self.noun, name), changes)
        return "changed"

    def read(self, file: Path) -> list[Document]:
        """Read what `export` wrote: a list of them, or a mapping from key to fields (or to a value)."""
        found = read_file(file)
        if isinstance(found, Mapping):
            found = [self._of(key, value) for key, value in found.items()]
        if not isinstance(found, list) or not all(isinstance(one, dict) and one.get(self.key) for one in found):
            raise usage(f"not a list of {self.noun}", str(file), f"each needs `{self.key}`; see the output of `export`")
        return [{name: one[name] for name in (self.key, *self.fields) if name in one} for one in found]

    def _of(self, key: str, value: Any) -> Document:
        if isinstance(value, Mapping) and set(value) & set(self.fields):
            return {self.key: key, **value}
        return {self.key: key, self.fields[0]: value}

    def export(self, client: Client) -> list[Document]:
        """All of them, with what `import` needs."""
        rows = client.listing(api(self.noun), self.noun, limit=100_000)
        return [{name: row[name] for name in (self.key, *self.fields) if row.get(name) is not None} for row in rows]


def group(resource: Resource, one: str, example: str) -> typer.Typer:
    """A command group with everything but `set`.

    Args:
        resource: the kind of thing.
        one: what one is called: `variable`.
        example: the key in examples.
    """
    app = typer.Typer(rich_markup_mode=None, no_args_is_help=True)
    noun = resource.noun

    def list_(limit: LimitOption = 1000, server: ServerOption = None, output: OutputOption = Output.TABLE) -> None:
        print_rows(connect(server).listing(api(noun), noun, limit=limit), output, columns=resource.columns)

    def get(
        key: Annotated[str, typer.Argument(help=f"The {one}.")],
        server: ServerOption = None,
        output: OutputOption = Output.TABLE,
    ) -> None:
        show(connect(server).get(api(noun, key)), output)

    def delete(
        key: Annotated[str, typer.Argument(help=f"The {one}.")], yes: YesOption = False, server: ServerOption = None
    ) -> None:
        confirm(f"Delete the {one} {key}?", yes)
        connect(server).delete(api(noun, key))
        print(f"{key} is deleted")

    def import_(file: FileArgument, server: ServerOption = None) -> None:
        entities = resource.read(file)
        client = connect(server)
        for entity in entities:
            print(f"{entity[resource.key]} {resource.put(client, entity)}")

    def export(
        file: Annotated[Path | None, typer.Argument(help="The file to write; default: stdout.")] = None,
        server: ServerOption = None,
    ) -> None:
        found = resource.export(connect(server))
        if file is None:
            print_document(found, Output.JSON)
        else:
            write(file, found)
            print(f"{len(found)} {noun} in {file}")

    def add(name: str, function: Callable[..., None], what: str, arguments: str) -> None:
        function.__doc__ = what
        example_line = f"Example: leoflow {noun} {name} {arguments}".rstrip()
        app.command(name, help=what, epilog=example_line)(function)

    add("list", list_, f"List {noun}.", "--output json")
    add("get", get, f"Show a {one}.", example)
    add("delete", delete, f"Delete a {one}.", f"{example} --yes")
    add("import", import_, f"Create or change {noun} from a file.", f"{noun}.json")
    add("export", export, f"Write all {noun} into a file.", f"{noun}.json")
    return app


def write(file: Path, document: Any) -> None:
    """Write a JSON or YAML file that only its owner can read: it may hold secrets."""
    import json
    import os

    if file.suffix in (".yaml", ".yml"):
        import yaml

        text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
    else:
        text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as opened:
        opened.write(text)
