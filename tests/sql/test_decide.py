"""Trigger rules and retry delays against Airflow's own answers (tests/truth)."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.sql.dags import Connection

pytestmark = pytest.mark.anyio
TRUTH = Path(__file__).parent.parent / "truth"

DECIDE = """
select coalesce(leoflow_core.decide(
    r.rule::leoflow.trigger_rule, r.n, r.success, r.failed, r.upstream_failed, r.skipped, r.removed, -1, 0, 0, 0
)::text, 'wait')
from unnest(%s::text[], %s::int[], %s::int[], %s::int[], %s::int[], %s::int[], %s::int[])
    with ordinality as r(rule, n, success, failed, upstream_failed, skipped, removed, ord)
order by r.ord
"""
KINDS = ("success", "failed", "upstream_failed", "skipped", "removed")


async def test_every_trigger_rule_decides_as_airflow_does(connection: Connection) -> None:
    rows: list[Any] = json.loads((TRUTH / "trigger_rules.json").read_text())
    counts = [Counter(states) for _, states, _ in rows]
    columns = [[row[0] for row in rows], [len(row[1]) for row in rows]]
    columns += [[count[kind] for count in counts] for kind in KINDS]
    cursor = await connection.execute(DECIDE, columns)
    ours = [row[0] for row in await cursor.fetchall()]
    wanted = ["scheduled" if row[2] == "run" else row[2] for row in rows]
    wrong = [(row, our) for row, our, want in zip(rows, ours, wanted, strict=True) if our != want]
    assert not wrong, wrong[:10]
    assert {row[0] for row in rows} >= {"all_success", "one_done", "all_done_min_one_success", "none_skipped"}


async def test_retry_delays_are_airflows_with_its_jitter(connection: Connection) -> None:
    rows = json.loads((TRUTH / "retry_delays.json").read_text())
    cursor = await connection.execute(
        """
        select leoflow_core.retry_delay(
            r.dag_id, r.task_id, r.logical_date, r.try_number, r.retry_delay, r.multiplier, r.max_retry_delay
        )
        from jsonb_to_recordset(%s::jsonb) as r(
            dag_id text, task_id text, logical_date timestamptz, try_number int, retry_delay float8, multiplier float8,
            max_retry_delay float8, seconds float8
        )
        """,
        (json.dumps(rows),),
    )
    ours = [row[0] for row in await cursor.fetchall()]
    wrong = [(row, our) for row, our in zip(rows, ours, strict=True) if abs(our - row["seconds"]) > 1e-6]
    assert not wrong, (len(wrong), wrong[:5])


@pytest.mark.parametrize("text", ["", "abc", "a" * 55, "b" * 56, "c" * 64, "é" * 300])
async def test_sha1_is_sha1(connection: Connection, text: str) -> None:
    import hashlib

    cursor = await connection.execute("select leoflow_core.sha1(%s)", (text.encode(),))
    row = await cursor.fetchone()
    assert row is not None
    assert bytes(row[0]) == hashlib.sha1(text.encode()).digest()


async def test_uuid7_is_time_ordered_and_marked(connection: Connection) -> None:
    cursor = await connection.execute("select leoflow_core.uuid7() from generate_series(1, 3)")
    found = [row[0] for row in await cursor.fetchall()]
    assert all(one.version == 7 and one.variant == "specified in RFC 4122" for one in found)
    assert abs((found[0].int >> 80) / 1000 - __import__("time").time()) < 60
