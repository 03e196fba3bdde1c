"""Random DAGs and random events on the engine and on the model: same states after every step, invariants always."""

import asyncio
import os
from typing import Any, LiteralString

import psycopg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leoflow import engine
from leoflow.engine import ClaimedAttempt, CreatedRun, Outcome
from tests.sql import invariants, model
from tests.sql.dags import Connection, dag, run_of, run_state, states, task

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
    """A DAG of up to nine tasks, a few of them setups and teardowns; sometimes one join is wider than 64."""
    wide = draw(st.integers(0, 9)) == 0
    names = [f"t{i}" for i in range(draw(st.integers(1, 9)))]
    tasks: dict[str, model.Task] = {}
    for number, name in enumerate(names):
        upstreams = frozenset(draw(st.sets(st.sampled_from(names[:number]), max_size=4))) if number else frozenset()
        kind = draw(st.sampled_from(["plain"] * 6 + ["setup", "teardown"]))
        rule = draw(st.sampled_from(RULES)) if draw(st.booleans()) else "all_success"
        tasks[name] = model.Task(
            name,
            upstreams,
            "all_done_setup_success" if kind == "teardown" else rule,
            draw(st.integers(0, 2)),
            is_setup=kind == "setup",
            is_teardown=kind == "teardown",
        )
    if wide:
        many = [f"w{i:02}" for i in range(70)]
        tasks |= {name: model.Task(name, frozenset(draw(st.sets(st.just(names[0]))))) for name in many}
        tasks["x"] = model.Task("x", frozenset(many), draw(st.sampled_from(RULES)))
    return tasks


def spec_of(tasks: dict[str, model.Task], **fields: Any) -> dict[str, Any]:
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
            )
            for one in tasks.values()
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


async def task_ids(conn: Connection, run: CreatedRun) -> dict[int, str]:
    cursor = await conn.execute(
        "select t.task_idx, t.task_id from leoflow_core.dag_run as r join leoflow_core.task as t using (version_key) "
        "where r.run_key = %s",
        (run.run_key,),
    )
    return dict(await cursor.fetchall())


class Both:
    """The engine and the model, driven together."""

    def __init__(self, conn: Connection, run: CreatedRun, tasks: dict[str, model.Task], data: st.DataObject) -> None:
        self.conn, self.run, self.model, self.data = conn, run, model.Run(tasks), data
        self.held: dict[int, dict[str, ClaimedAttempt]] = {}
        self.gone: list[tuple[int, ClaimedAttempt]] = []

    async def compare(self) -> None:
        await invariants.check(self.conn)
        ours = await states(self.conn, self.run)
        theirs = {name: instance.state for name, instance in self.model.instances.items()}
        assert {n: s for n, s in ours.items() if s != theirs[n]} == {n: s for n, s in theirs.items() if s != ours[n]}
        assert await run_state(self.conn, self.run) == self.model.state

    async def worker(self) -> int:
        if len(self.held) < 2:
            key = await engine.register_worker(self.conn, hostname="h", pid=len(self.held), slots=9)
            self.held[key] = {}
        return self.data.draw(st.sampled_from(sorted(self.held)))

    def took(self, worker: int, attempts: list[ClaimedAttempt]) -> None:
        for attempt in attempts:
            self.model.start(attempt.task_id)
            assert attempt.try_number == self.model.instances[attempt.task_id].tries
            self.held[worker][attempt.task_id] = attempt

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
        names = sorted(self.held[worker])
        chosen = self.data.draw(st.sets(st.sampled_from(names), min_size=1))
        if len(names) > 20 and self.data.draw(st.booleans()):
            chosen = set(names)
        how = {
            name: self.data.draw(st.sampled_from(["success"] * 3 + ["failed", "skipped"])) for name in sorted(chosen)
        }
        attempts = {name: self.held[worker].pop(name) for name in chosen}
        live = {
            n for n in chosen if self.model.instances[n].state in model.ACTIVE and not self.was_replaced(attempts[n])
        }
        result = await engine.finish(
            self.conn,
            worker,
            [Outcome(attempts[name].ref, how[name]) for name in how],
            handoff=self.data.draw(st.integers(0, 3)),
        )
        assert set(result.stale) == {attempts[name].attempt_id for name in chosen - live}
        self.model.end({name: how[name] for name in live})
        self.took(worker, result.handed)

    def was_replaced(self, attempt: ClaimedAttempt) -> bool:
        return self.model.instances[attempt.task_id].tries != attempt.try_number

    async def kill(self) -> None:
        """The worker's lease ends; what it reports afterwards is stale."""
        worker = await self.worker()
        await self.conn.execute(
            "update leoflow_core.worker set lease_until = clock_timestamp() where worker_key = %s", (worker,)
        )
        await engine.reap(self.conn)
        attempts = self.held.pop(worker)
        self.model.lose(
            {
                n
                for n, a in attempts.items()
                if self.model.instances[n].state in model.ACTIVE and not self.was_replaced(a)
            }
        )
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
        lives = self.model.instances[attempt.task_id].state == "running" and not self.was_replaced(attempt)
        assert await engine.skip_downstream(self.conn, attempt.ref, [(name, -1) for name in sorted(names)]) == lives
        if lives:
            self.model.skip(names)

    async def clear(self) -> None:
        names = self.data.draw(st.sets(st.sampled_from(sorted(self.model.tasks)), min_size=1, max_size=3))
        below = self.data.draw(st.booleans())
        refs = await engine.clear_tasks(self.conn, "d", self.run.run_id, sorted(names), downstream=below)
        names_of = await task_ids(self.conn, self.run)
        cleared = {names_of[ref.task_idx] for ref in refs}
        at_least = names.union(*(self.model.closure(name, down=True) for name in names)) if below else names
        # setups and teardowns come along: which ones, test_selection compares with Airflow
        assert at_least <= cleared and all(
            self.model.tasks[name].is_setup or self.model.tasks[name].is_teardown for name in cleared - at_least
        )
        self.model.clear(cleared)

    async def mark(self) -> None:
        names = self.data.draw(st.sets(st.sampled_from(sorted(self.model.tasks)), min_size=1, max_size=2))
        state = self.data.draw(st.sampled_from(["success", "failed"]))
        await engine.mark_tasks(self.conn, "d", self.run.run_id, sorted(names), state)
        self.model.mark(names, state)


async def play(dsn: str, data: st.DataObject) -> None:
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as conn:
        await conn.execute(
            "truncate leoflow_core.dag_run, leoflow_core.task_instance, leoflow_core.gate_token, "
            "leoflow_core.audit_log, leoflow_core.join_counter, leoflow_core.task_attempt_history, "
            "leoflow_core.worker, leoflow_core.dag cascade"
        )
        await conn.execute("update leoflow_core.pool set slots = %s", (data.draw(st.sampled_from([-1, 2, 128])),))
        await conn.execute(GUARD)
        tasks = data.draw(graphs())
        run = await run_of(conn, spec_of(tasks, max_active_tasks=data.draw(st.sampled_from([1, 3, 1000]))))
        both = Both(conn, run, tasks, data)
        await both.compare()
        common = [both.claim, both.finish]
        rare = [both.kill, both.skip, both.clear, both.mark]
        for _ in range(data.draw(st.integers(5, 25))):
            await data.draw(st.sampled_from(common * 4 + rare))()
            await both.compare()
        for _ in range(500):  # and then it ends, whatever happened before
            if both.model.state in ("success", "failed"):
                break
            await both.claim()
            await both.finish()
            await both.compare()


@settings(
    max_examples=int(os.environ.get("LEOFLOW_TEST_EXAMPLES", "25")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(data=st.data())
def test_the_engine_ends_every_run_as_the_model_does(database_url: str, data: st.DataObject) -> None:
    asyncio.run(play(database_url, data))
