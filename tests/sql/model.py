"""A small, slow, obviously correct model of a run: Airflow's rules re-evaluated over everything after every step."""

from dataclasses import dataclass, field

FINAL = {"success", "failed", "skipped", "upstream_failed", "removed"}
ACTIVE = {"running", "queued", "restarting"}


@dataclass
class Task:
    name: str
    upstreams: frozenset[str]
    rule: str = "all_success"
    retries: int = 0
    is_setup: bool = False
    is_teardown: bool = False


@dataclass
class Instance:
    state: str | None = None
    tries: int = 0
    max_tries: int = 0
    infra: int = 0


def decide(rule: str, states: list[str | None], setups: list[str | None]) -> str | None:
    """What Airflow's trigger_rule_dep makes of the states of the direct upstreams; None means wait."""
    total = len(states)
    if total == 0 or rule == "always":
        return "run"
    success, failed, up_failed, skipped, removed = (
        states.count(kind) for kind in ("success", "failed", "upstream_failed", "skipped", "removed")
    )
    bad = failed + up_failed
    done = success + bad + skipped + removed
    if rule == "all_success":
        return "upstream_failed" if bad else "skipped" if skipped else "run" if success == total else None
    if rule == "all_failed":
        return "skipped" if success or skipped else "run" if bad == total else None
    if rule == "all_done":
        return "run" if done == total else None
    if rule == "one_success":
        if success:
            return "run"
        return None if done < total else "skipped" if skipped == done else "upstream_failed"
    if rule == "one_failed":
        return "run" if bad else "skipped" if done == total else None
    if rule == "one_done":
        return "run" if success + failed else "skipped" if done == total else None
    if rule == "none_failed":
        return "upstream_failed" if bad else "run" if success + skipped == total else None
    if rule == "none_failed_min_one_success":
        if bad:
            return "upstream_failed"
        return "skipped" if skipped == total else "run" if success + skipped == total else None
    if rule == "none_skipped":
        return "skipped" if skipped else "run" if done == total else None
    if rule == "all_skipped":
        return "skipped" if success + bad else "run" if skipped == total else None
    if rule == "all_done_min_one_success":
        if skipped:
            return "skipped"
        return None if done < total else "run" if success else "upstream_failed"
    assert rule == "all_done_setup_success", rule
    if done < total:
        return None
    if setups and setups.count("skipped") == len(setups):
        return "skipped"
    return "upstream_failed" if setups and not setups.count("success") else "run"


@dataclass
class Run:
    tasks: dict[str, Task]
    instances: dict[str, Instance] = field(default_factory=dict)
    state: str = "running"

    def __post_init__(self) -> None:
        self.instances = {name: Instance(max_tries=task.retries) for name, task in self.tasks.items()}
        self.settle()

    def downstream(self, name: str) -> set[str]:
        return {other.name for other in self.tasks.values() if name in other.upstreams}

    def closure(self, name: str, *, down: bool) -> set[str]:
        found: set[str] = set()
        todo = [name]
        while todo:
            for other in self.downstream(todo[0]) if down else self.tasks[todo[0]].upstreams:
                if other not in found:
                    found.add(other)
                    todo.append(other)
            todo.pop(0)
        return found

    def decision(self, task: Task) -> str | None:
        states = {name: instance.state for name, instance in self.instances.items()}
        setups = [states[up] for up in sorted(task.upstreams) if self.tasks[up].is_setup]
        direct = decide(task.rule, [states[up] for up in sorted(task.upstreams)], setups)
        if task.rule == "always":
            return direct
        if not task.is_teardown:
            relevant = [states[name] for name in self.indirect_setups(task)]
            if {"failed", "upstream_failed"} & set(relevant):
                return "upstream_failed"
            if "skipped" in relevant:
                return "skipped"
            waits = any(state != "success" for state in relevant)
        else:
            waits = any(states[name] not in FINAL for name in self.scope(task))
        return None if direct == "run" and waits else direct

    def indirect_setups(self, task: Task) -> set[str]:
        """Airflow: get_upstreams_only_setups, without the direct upstreams."""
        below = self.closure(task.name, down=True)
        found = set()
        for name in self.closure(task.name, down=False) - task.upstreams:
            teardowns = {other for other in self.downstream(name) if self.tasks[other].is_teardown}
            if self.tasks[name].is_setup and (not teardowns or teardowns & below):
                found.add(name)
        return found

    def scope(self, task: Task) -> set[str]:
        """Airflow: _evaluate_teardown_scope."""
        indirect = self.closure(task.name, down=False) - task.upstreams
        setups = [up for up in task.upstreams if self.tasks[up].is_setup]
        return {name for name in indirect if any(name in self.closure(setup, down=True) for setup in setups)}

    def settle(self) -> None:
        """Evaluate in rounds; each round sees what the rounds before it decided."""
        if self.state != "running":
            return
        while True:
            decided = {
                name: decision
                for name, task in self.tasks.items()
                if self.instances[name].state is None and (decision := self.decision(task))
            }
            for name, decision in decided.items():
                self.instances[name].state = "scheduled" if decision == "run" else decision
            if not any(decision != "run" for decision in decided.values()):
                break
        if all(instance.state in FINAL for instance in self.instances.values()):
            leaves = self.leaves()
            bad = any(self.instances[name].state in ("failed", "upstream_failed") for name in leaves)
            self.state = "failed" if bad else "success"

    def leaves(self) -> set[str]:
        """Airflow: _tis_for_dagrun_state (no test uses on_failure_fail_dagrun)."""
        found = {
            name
            for name, task in self.tasks.items()
            if not task.is_teardown and all(self.tasks[other].is_teardown for other in self.downstream(name))
        }
        return found or {name for name in self.tasks if not self.downstream(name)}

    def start(self, name: str) -> None:
        instance = self.instances[name]
        assert instance.state == "scheduled"
        instance.state = "running"
        instance.tries += 1

    def end(self, ends: dict[str, str]) -> None:
        for name, end in ends.items():
            instance = self.instances[name]
            if instance.state == "restarting" or (end == "failed" and 0 < instance.max_tries >= instance.tries):
                instance.state = "scheduled"
            else:
                instance.state = end
        self.settle()

    def lose(self, names: set[str]) -> None:
        for name in names:
            instance = self.instances[name]
            again = instance.state == "restarting" or instance.infra < 3
            instance.state = "scheduled" if again else "failed"
            instance.infra += 1
            instance.max_tries += instance.max_tries > 0
        self.settle()

    def skip(self, names: set[str]) -> None:
        for name in names:
            if self.instances[name].state in (None, "scheduled"):
                self.instances[name].state = "skipped"
        self.settle()

    def clear(self, names: set[str]) -> None:
        for name in names:
            instance = self.instances[name]
            if instance.state in ("running", "restarting"):
                instance.state = "restarting"
            else:
                instance.state = None
                instance.max_tries = instance.tries + self.tasks[name].retries
            instance.infra = 0
        if self.state != "running":
            self.state = "queued"
        self.settle()

    def mark(self, names: set[str], state: str) -> None:
        """Those not in that state change; then what had failed after any of them is cleared."""
        changed = {name for name in names if self.instances[name].state != state}
        if not changed:
            return
        for name in changed:
            self.instances[name].state = state
        below = set[str]().union(*(self.closure(name, down=True) for name in names)) - names
        again = {name for name in below if self.instances[name].state in ("failed", "upstream_failed")}
        if again:
            self.clear(again)
        else:
            self.settle()

    def begin(self) -> None:
        if self.state == "queued":
            self.state = "running"
            self.settle()
