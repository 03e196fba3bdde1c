"""The plans that statements really ran with, those inside functions too."""

import re
from typing import Any

from psycopg import AsyncConnection
from psycopg.errors import Diagnostic


class Plans:
    """Collects the plans of every statement that runs inside functions, through auto_explain."""

    def __init__(self, conn: AsyncConnection[Any]) -> None:
        self.conn = conn
        self.texts: list[str] = []

    async def __aenter__(self) -> list[str]:
        self.conn.add_notice_handler(self.note)
        await self.conn.execute(
            "load 'auto_explain'; set auto_explain.log_min_duration = 0; set auto_explain.log_nested_statements = on; "
            "set auto_explain.log_analyze = on; set auto_explain.log_timing = off; set client_min_messages = log"
        )
        return self.texts

    async def __aexit__(self, *_: object) -> None:
        await self.conn.execute("set client_min_messages = warning; set auto_explain.log_min_duration = -1")
        self.conn.remove_notice_handler(self.note)

    def note(self, diagnostic: Diagnostic) -> None:
        self.texts.append(diagnostic.message_primary or "")


def problems(plans: list[str]) -> list[str]:
    """Plans that read a large table other than by key, or read much more than the batch."""
    found = []
    for plan in plans:
        if "\nJIT" in plan or re.search(r"(Seq|Bitmap Heap) Scan on (task_instance|dag_run|xcom|task)\b", plan):
            found.append(plan)
        if any(int(rows) * int(loops) > 3000 for rows, loops in re.findall(r"rows=(\d+) loops=(\d+)\)", plan)):
            found.append(plan)
        if any(int(rows) > 1000 for rows in re.findall(r"Rows Removed by (?:Filter|Index Recheck): (\d+)", plan)):
            found.append(plan)
    return found
