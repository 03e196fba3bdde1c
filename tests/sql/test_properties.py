"""Random DAGs and random events on the engine and on the model: same states after every step, invariants always."""

import asyncio
import os
from datetime import timedelta
from typing import Any, LiteralString

import psycopg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leoflow import engine
from leoflow.engine import ClaimedAttempt, CreatedRun, Outcome
from tests.sql import invariants, model
from tests.sql.dags import (
    Connection,
    dag,
    literal,
    mapped_group,
    over,
    result,
    returned,
    run_of,
    run_state,
    scalar,
    task,
)

RULES = [
    "all_success",
    "all_failed",
    "all_done",
    "all_done_min_one_success",
    "all_skipped",
    "one_failed",
    "one_success",
    "one_done",
    "none_failed",
    "none_failed_min_one_success",
    "none_skipped",
    "always",
]


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, model.Task]:
    """A DAG of up to nine tasks: setups, teardowns, maps, a mapped group with others inside, sometimes a wide join."""
    kind_of_dag = draw(st.integers(0, 9))
    wide, nested = kind_of_dag == 0, kind_of_dag > 6
    names = [f"t{i}" for i in range(draw(st.integers(6, 9) if nested else st.integers(1, 9)))]
    grouped = set(names[3:]) if nested else set[str]()
    if len(names) > 1 and not nested and draw(st.booleans()):
        grouped = draw(st.sets(st.sampled_from(names[1:]), min_size=1, max_size=4))
    group_over: str | int = 0
    inner_overs: dict[str, str | int] = {}
    if grouped:
        before = [name for name in names if name < min(grouped)]
        group_over = draw(st.one_of(st.sampled_from(before), st.integers(0, 3)))
        if nested:  # mostly with some instances: what is mapped over often ends otherwise
            group_over = draw(st.sampled_from([2, 1, 3, 0, before[0]]))
            inner_overs = {inner: draw(st.sampled_from([2, 3, 1, 0, 2, *before])) for inner in ("i", "j")}
    places = {name: draw(st.sampled_from(["", *inner_overs])) for name in sorted(grouped)}
    tasks: dict[str, model.Task] = {}
    for number, name in enumerate(names):
        upstreams = set(draw(st.sets(st.sampled_from(names[:number]), max_size=4))) if number else set()
        kind = draw(st.sampled_from(["plain"] * 6 + ["setup", "teardown", "mapped", "mapped", "mapped"]))
        rule = draw(st.sampled_from(RULES)) if draw(st.booleans()) else "all_success"
        length: str | int | None = None
        inner = places.get(name, "")
        if name in grouped:
            length = inner_overs.get(inner, group_over)
            if inner and (near := sorted(grouped & set(names[:number]))):
                upstreams.add(draw(st.sampled_from(near)))
            # the first tasks of a group are after what it is mapped over
            if not upstreams & grouped:
                upstreams |= {group_over} if isinstance(group_over, str) else set()
            if not upstreams & {other for other in grouped if places[other] == inner}:
                upstreams |= {length} if isinstance(length, str) else set()
        elif kind == "mapped":
            length = draw(st.one_of(st.sampled_from(names[:number]), st.integers(0, 3))) if number else 2
            upstreams |= {length} if isinstance(length, str) else set()
        tasks[name] = model.Task(
            name,
            frozenset(upstreams),
            "all_done_setup_success" if kind == "teardown" else rule,
            draw(st.integers(0, 2)),
            is_setup=kind == "setup",
            is_teardown=kind == "teardown",
            over=length,
            group=(f"g.{inner}" if inner else "g") if name in grouped else None,
            around=group_over if inner else None,
        )
    if wide:
        many = [f"w{i:02}" for i in range(70)]
        tasks |= {name: model.Task(name, frozenset(draw(st.sets(st.just(names[0]))))) for name in many}
        tasks["x"] = model.Task("x", frozenset(many), draw(st.sampled_from(RULES)))
    return tasks


def mapping(over: str | int) -> dict[str, Any]:
    return literal(over) if isinstance(over, int) else result(over)


def spec_of(data: st.DataObject, tasks: dict[str, model.Task], **fields: Any) -> dict[str, Any]:
    """The DAG as the engine gets it, with random limits, of which the model knows nothing."""
    limits = {
        name: data.draw(
            st.sampled_from([{}, {}, {}, {"max_active_tis_per_dag": 1}, {"max_active_tis_per_dagrun": 2}])
            if one.over is not None
            else st.sampled_from([{}, {}, {"pool_slots": 2}, {"effective_priority": 7}])
        )
        for name, one in tasks.items()
    }
    groups = {one.group: one.over for one in tasks.values() if one.group and one.over is not None}
    groups |= {
        one.group.partition(".")[0]: one.around for one in tasks.values() if one.group and one.around is not None
    }
    return dag(
        "d",
        [
            task(
                one.name,
                *one.upstreams,
                trigger_rule=one.rule,
                retries=one.retries,
                retry_delay_seconds=0.0,
                is_setup=one.is_setup,
                is_teardown=one.is_teardown,
                group_id=one.group,
                **({"mapping": over(mapping(one.over))} if one.over is not None and not one.group else {}),
                **limits[one.name],
            )
            for one in tasks.values()
        ],
        task_groups=[
            mapped_group(group, mapping(length), parent_group_id=group.rpartition(".")[0] or None)
            for group, length in groups.items()
        ],
        **fields,
    )


GUARD: LiteralString = """
create or replace function public.refuse_illegal_transitions() returns trigger language plpgsql as $$
begin
    if not exists (
        select from leoflow_core.task_instance_transition as t
        where t.from_state = coalesce(old.state::text, 'none') and t.to_state = coalesce(new.state::text, 'none')
    ) then
        raise exception 'illegal transition % -> % of %', old.state, new.state, old.task_idx;
    end if;
    return new;
end $$;
create or replace trigger guard after update of state on leoflow_core.task_instance for each row
when (old.state is distinct from new.state) execute function public.refuse_illegal_transitions();
"""


class Both:
    """The engine and the model, driven together."""

    def __init__(self, conn: Connection, run: CreatedRun, tasks: dict[str, model.Task], data: st.DataObject) -> None:
        self.conn, self.run, self.model, self.data = conn, run, model.Run(tasks), data
        self.held: dict[int, dict[model.Key, ClaimedAttempt]] = {}

    async def compare(self) -> None:
        await invariants.check(self.conn)
        cursor = await self.conn.execute(
            "select task_id, map_index, state from leoflow.task_instances where run_key = %s", (self.run.run_key,)
        )
        ours = {(name, index): state for name, index, state in await cursor.fetchall()}
        theirs = {key: instance.state for key, instance in self.model.instances.items()}
        assert set(ours.items()) - set(theirs.items()) == set(theirs.items()) - set(ours.items())
        assert await run_state(self.conn, self.run) == self.model.state

    async def worker(self) -> int:
        if len(self.held) < 2:
            key = await engine.register_worker(
                self.conn, hostname="h", pid=len(self.held), slots=9, lease=timedelta(hours=1)
            )
            self.held[key] = {}
        return self.data.draw(st.sampled_from(sorted(self.held)))

    def took(self, worker: int, attempts: list[ClaimedAttempt]) -> None:
        for attempt in attempts:
            key = attempt.task_id, attempt.map_index
            self.model.start(key)
            assert attempt.try_number == self.model.instances[key].tries
            self.held[worker][key] = attempt

    async def claim(self) -> None:
        worker = await self.worker()
        limit = self.data.draw(st.integers(1, 80))
        taken = await engine.claim(self.conn, worker, limit)
        self.model.begin()
        self.took(worker, taken)

    async def finish(self) -> None:
        worker = await self.worker()
        if not self.held[worker]:
            return
        keys = sorted(self.held[worker])
        chosen = self.data.draw(st.sets(st.sampled_from(keys), min_size=1))
        if len(keys) > 20 and self.data.draw(st.booleans()):
            chosen = set(keys)
        how = {key: self.data.draw(st.sampled_from(["success"] * 3 + ["failed", "skipped"])) for key in sorted(chosen)}
        lengths = {key: self.data.draw(st.integers(0, 3)) for key, end in how.items() if end == "success"}
        attempts = {key: self.held[worker].pop(key) for key in how}
        live = {key for key in how if self.is_live(attempts[key])}
        result = await engine.finish(
            self.conn,
            worker,
            [
                returned(attempts[key], lengths[key]) if end == "success" else Outcome(attempts[key].ref, end)
                for key, end in how.items()
            ],
            handoff=self.data.draw(st.integers(0, 3)),
        )
        assert set(result.stale) == {attempts[key].attempt_id for key in how if key not in live}
        self.model.end({key: how[key] for key in how if key in live}, lengths)
        self.took(worker, result.handed)

    def is_live(self, attempt: ClaimedAttempt) -> bool:
        instance = self.model.instances.get((attempt.task_id, attempt.map_index))
        return instance is not None and instance.state in model.ACTIVE and instance.tries == attempt.try_number

    async def kill(self) -> None:
        """The worker's lease ends; what it reports afterwards is stale."""
        worker = await self.worker()
        await self.conn.execute(
            "update leoflow_core.worker set lease_until = clock_timestamp() where worker_key = %s", (worker,)
        )
        await engine.reap(self.conn)
        attempts = self.held.pop(worker)
        self.model.lose({key for key, attempt in attempts.items() if self.is_live(attempt)})
        for attempt in list(attempts.values())[:3]:
            result = await engine.finish(self.conn, worker, [Outcome(attempt.ref, "success")])
            assert result.stale == [attempt.attempt_id]

    async def skip(self) -> None:
        worker = await self.worker()
        if not self.held[worker]:
            return
        attempt = self.held[worker][self.data.draw(st.sampled_from(sorted(self.held[worker])))]
        below = sorted(self.model.downstream(attempt.task_id))
        if not below:
            return
        names = self.data.draw(st.sets(st.sampled_from(below), min_size=1))
        lives = self.is_live(attempt) and self.model.instances[attempt.task_id, attempt.map_index].state == "running"
        assert await engine.skip_downstream(self.conn, attempt.ref, [(name, -1) for name in sorted(names)]) == lives
        if lives:
            self.model.skip(names)

    async def concerned(self, names: set[str], **options: bool) -> set[model.Key]:
        """What a clear concerns: relatives bring setups and teardowns along, which test_selection compares."""
        ids = sorted(self.model.tasks)
        refs = await engine.clear_tasks(self.conn, "d", self.run.run_id, sorted(names), **options)
        return {(ids[ref.task_idx], ref.map_index) for ref in refs}

    async def clear(self) -> None:
        names = self.data.draw(st.sets(st.sampled_from(sorted(self.model.tasks)), min_size=1, max_size=3))
        self.model.clear(await self.concerned(names, downstream=self.data.draw(st.booleans())))

    async def clear_one(self) -> None:
        """One instance alone, as from the grid."""
        key = self.data.draw(st.sampled_from(sorted(self.model.instances)))
        await engine.clear_tasks(self.conn, "d", self.run.run_id, [key])
        self.model.clear({key})

    async def mark(self) -> None:
        names = self.data.draw(st.sets(st.sampled_from(sorted(self.model.tasks)), min_size=1, max_size=2))
        state = self.data.draw(st.sampled_from(["success", "failed"]))
        below = await self.concerned(names, downstream=True, dry_run=True)
        await engine.mark_tasks(self.conn, "d", self.run.run_id, sorted(names), state)
        self.model.mark(names, state, {key for key in below if key[0] not in names})

    async def archive(self) -> None:
        """Nobody sees that a run went to history; whoever acts on it brings it back."""
        ended = self.model.state in ("success", "failed")
        was_there = await scalar(self.conn, "select archived_at is not null from leoflow_core.dag_run")
        assert await engine.archive_runs(self.conn) == (ended and not was_there)
        assert not ended or not await scalar(self.conn, "select count(*) from leoflow_core.task_instance")

    async def resize(self) -> None:
        async with self.conn.transaction():
            await self.conn.execute(
                "update leoflow_core.pool set slots = %s", (self.data.draw(st.sampled_from([-1, 2, 4, 128])),)
            )
            await self.conn.execute("select leoflow_core.pool_changed('default_pool')")


async def play(dsn: str, data: st.DataObject) -> None:
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as conn:
        await conn.execute(
            "truncate leoflow_core.dag_run, leoflow_core.task_instance, leoflow_core.gate_token, "
            "leoflow_core.audit_log, leoflow_core.join_counter, leoflow_core.task_attempt_history, leoflow_core.xcom, "
            "leoflow_core.task_instance_history, leoflow_core.task, leoflow_core.task_edge, leoflow_core.reduce_input, "
            "leoflow_core.worker, leoflow_core.dag restart identity cascade"
        )
        await conn.execute("update leoflow_core.setting set value = '-1' where key = 'history_after_seconds'")
        await conn.execute(
            "update leoflow_core.pool set slots = %s, is_overdrawn = false", (data.draw(st.sampled_from([-1, 2, 128])),)
        )
        await conn.execute(GUARD)
        tasks = data.draw(graphs())
        spec = spec_of(data, tasks, max_active_tasks=data.draw(st.sampled_from([1, 3, 1000])))
        both = Both(conn, await run_of(conn, spec), tasks, data)
        await both.compare()
        common = [both.claim, both.finish]
        rare = [both.kill, both.skip, both.clear, both.clear_one, both.mark, both.archive, both.resize]
        for _ in range(data.draw(st.integers(5, 25))):
            await data.draw(st.sampled_from(common * 6 + rare))()
            await both.compare()
        for _ in range(500):  # and then it ends, whatever happened before
            if both.model.state in ("success", "failed"):
                break
            await both.claim()
            await both.finish()
            await both.compare()
        assert both.model.state in ("success", "failed")


@settings(
    max_examples=int(os.environ.get("LEOFLOW_TEST_EXAMPLES", "25")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(data=st.data())
def test_the_engine_ends_every_run_as_the_model_does(database_url: str, data: st.DataObject) -> None:
    asyncio.run(play(database_url, data))
