"""DAGs and finished runs to ask the API about, made through the engine's own functions."""

import json
from dataclasses import dataclass, field
from typing import Any

from psycopg.types.json import Jsonb

from leoflow.db.pool import Pool
from leoflow.spec import DagSpec, as_json

Outcome = dict[str, Any]


def task(task_id: str, *depends_on: str, **changes: Any) -> dict[str, Any]:
    return {
        "task_id": task_id,
        "task_display_name": task_id,
        "operator": "_PythonDecoratedOperator",
        "operator_name": "@task",
        "class": "airflow.providers.standard.decorators.python._PythonDecoratedOperator",
        "kind": "python",
        "depends_on": sorted(depends_on),
        "template_fields": ["templates_dict", "op_args", "op_kwargs"],
        "ui_color": "#ffefeb",
        **changes,
    }


def spec(dag_id: str, tasks: list[dict[str, Any]], **changes: Any) -> DagSpec:
    code = f"# {dag_id}\n"
    fields = {
        "dag_id": dag_id,
        "dag_display_name": dag_id,
        "owners": ["airflow"],
        "tags": ["example", dag_id],
        "timetable_description": "Never, external triggers only",
        "start_date": "2026-11-12T00:00:00+00:00",
        "source": {"path": f"{dag_id}.py", "tree_hash": "0" * 64, "code": code},
        "tasks": sorted(tasks, key=lambda one: one["task_id"]),
        **changes,
    }
    return DagSpec.model_validate(fields).with_content_hash()


ETL = spec(
    "etl",
    [
        task("extract"),
        task("transform", "extract", xcom_input={"rows": ["extract"]}, xcom_refs=[["extract", "return_value"]]),
        task("load", "transform"),
    ],
    description="Extract, transform, load",
    doc_md="# ETL",
    schedule={"type": "cron", "expression": "0 6 * * *", "timezone": "UTC", "data_interval": True},
    timetable_summary="0 6 * * *",
    timetable_description="At 06:00",
    owner_links={"airflow": "https://example.com"},
    default_args={"owner": "airflow"},
    params={"n": {"value": 3, "schema": {"type": "integer"}, "description": "how many"}},
    dagrun_timeout_seconds=3600.0,
)
FLAKY = spec(
    "flaky",
    [
        task("boom", retries=1, retry_delay_seconds=0.0, extra_links=["docs"], extra_link_keys={"docs": "_link_Docs"}),
        task("after", "boom"),
    ],
)
GROUPED = spec(
    "grouped",
    [task("outer.a", group_id="outer"), task("outer.inner.b", "outer.a", group_id="outer.inner"), task("end")],
    task_groups=[
        {"group_id": "outer", "label": "outer"},
        {"group_id": "outer.inner", "label": "inner", "parent_group_id": "outer"},
    ],
)


@dataclass
class Stage:
    """A database with registered DAGs and a worker that does what a test says."""

    pool: Pool
    worker_key: int = 0
    log: dict[str, list[str]] = field(default_factory=dict)

    async def one(self, query: str, *parameters: Any) -> Any:
        async with self.pool.connection() as conn:
            cursor = await conn.execute(query.encode(), parameters)
            row = await cursor.fetchone() if cursor.description else None
            return row[0] if row else None

    async def register(self, *specs: DagSpec) -> None:
        for one in specs:
            await self.one(
                "select version_number from leoflow_core.register_version(p_spec => %s, p_content_hash => %s,"
                " p_project_path => '/work', p_fileloc => %s, p_parse_seconds => 0.5)",
                Jsonb(as_json(one)),
                one.content_hash,
                f"/work/{one.dag_id}.py",
            )
            await self.one("select leoflow.set_paused(%s, false)", one.dag_id)

    async def start(self, dag_id: str, run_id: str, **changes: Any) -> None:
        await self.one(
            "select run_key from leoflow_core.create_run(p_dag_id => %s, p_run_id => %s, p_logical_date => %s,"
            " p_conf => %s, p_triggered_by => 'rest_api', p_user => 'admin')",
            dag_id,
            run_id,
            changes.get("logical_date"),
            Jsonb(changes.get("conf", {})),
        )

    async def work(self, outcomes: dict[str, Outcome] | None = None, rounds: int = 50) -> int:
        """Run what can be run: each task succeeds, unless `outcomes` has states, a value or log lines for it."""
        if not self.worker_key:
            self.worker_key = await self.one("select leoflow_core.register_worker('stage', 1, 16)")
        done = 0
        for _ in range(rounds):
            attempts = await self._claim()
            if not attempts:
                break
            for attempt in attempts:
                await self._finish(attempt, (outcomes or {}).get(attempt["task_id"], {}))
                done += 1
        return done

    async def _claim(self) -> list[dict[str, Any]]:
        async with self.pool.connection() as conn:
            cursor = await conn.execute("select to_jsonb(c) from leoflow_core.claim(%s, 16) as c", [self.worker_key])
            return [row[0] for row in await cursor.fetchall()]

    async def _finish(self, attempt: dict[str, Any], outcome: Outcome) -> None:
        key = (attempt["run_key"], attempt["task_idx"], attempt["map_index"])
        lines = outcome.get("log", [{"timestamp": "2026-11-22T10:00:00Z", "level": "info", "event": "hello"}])
        await self.one(
            "insert into leoflow_core.task_log"
            " (run_key, task_idx, map_index, try_number, attempt_id, is_last, lines, line_count)"
            " values (%s, %s, %s, %s, %s, true, %s, %s)",
            *key,
            attempt["try_number"],
            attempt["attempt_id"],
            "".join(json.dumps(line) + "\n" for line in lines),
            len(lines),
        )
        states = outcome.get("states", ["success"])
        state = states[min(attempt["try_number"], len(states)) - 1]
        xcoms = {"return_value": outcome["value"]} if "value" in outcome and state == "success" else {}
        xcoms |= outcome.get("xcoms", {})
        outlets = await self._outlets(attempt, outcome)
        await self.one(
            "select count(*) from leoflow_core.finish(p_worker_key => %s, p_run_keys => array[%s::bigint],"
            " p_task_idxs => array[%s::int], p_map_indexes => array[%s::int], p_attempt_ids => array[%s::uuid],"
            " p_states => array[%s::text], p_xcom_items => %s::int[], p_xcom_keys => %s::text[],"
            " p_xcom_values => %s::bytea[], p_outlets => %s)",
            self.worker_key,
            *key,
            attempt["attempt_id"],
            state,
            [1] * len(xcoms),
            list(xcoms),
            [json.dumps(value).encode() for value in xcoms.values()],
            Jsonb([outlets]) if outlets["outlets"] else None,
        )
        await self.one("select created from leoflow_core.create_asset_runs()")

    async def _outlets(self, attempt: dict[str, Any], outcome: Outcome) -> dict[str, Any]:
        """What the attempt says of its outlets: `extra` of the outcome for each."""
        found = await self.one(
            "select spec -> 'outlets' from leoflow_core.task where version_key = %s and task_idx = %s",
            attempt["version_key"],
            attempt["task_idx"],
        )
        keys = [{"name": each["name"], "uri": each["uri"]} for each in found]
        return {
            **{name: attempt[name] for name in ("run_key", "task_idx", "map_index")},
            "outlets": [{"type": "Asset", **key} for key in keys],
            "events": [{"dest_asset_key": key, "extra": outcome.get("extra", {})} for key in keys],
        }
