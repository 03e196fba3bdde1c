"""The shapes of DAG versions, computed once per version: a version never changes."""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from leoflow.api.dag_graph import DagGraph
from leoflow.api.rows import Connection, rows
from leoflow.db import queries

_REMEMBERED = 64


class GraphCache:
    """The last used graphs by version key, and the specs they came from."""

    def __init__(self, size: int = _REMEMBERED) -> None:
        self._size = size
        self._known: OrderedDict[int, tuple[dict[str, Any], DagGraph]] = OrderedDict()

    async def graphs(self, conn: Connection, version_keys: Sequence[int]) -> dict[int, DagGraph]:
        """Return the graphs of some versions."""
        return {key: graph for key, (_, graph) in (await self._load(conn, version_keys)).items()}

    async def spec(self, conn: Connection, version_key: int) -> dict[str, Any]:
        """Return the spec of a version, without its source text."""
        return (await self._load(conn, [version_key]))[version_key][0]

    async def _load(self, conn: Connection, version_keys: Sequence[int]) -> dict[int, tuple[dict[str, Any], DagGraph]]:
        missing = [key for key in version_keys if key not in self._known]
        found = {key: self._known[key] for key in version_keys if key in self._known}
        if missing:
            for row in await rows(conn, queries.load("ui").specs, {"version_keys": missing}):
                # A spec of thousands of tasks takes long enough to be noticed on the event loop.
                graph = await asyncio.to_thread(DagGraph, row["spec"])
                found[row["version_key"]] = self._known[row["version_key"]] = (row["spec"], graph)
        for key in found:
            self._known.move_to_end(key)
        while len(self._known) > self._size:
            self._known.popitem(last=False)
        return found
