"""A small, slow, obviously correct model of a run: Airflow's rules re-evaluated over everything after every step.

Where Leoflow differs on purpose (docs/map-reduce.md), the model does as Leoflow: an instance inside a mapped group is
decided by its index, and instances a map has no more are no upstreams.
"""

from dataclasses import dataclass, field
from math import prod

FINAL = {"success", "failed", "skipped", "upstream_failed", "removed"}
ACTIVE = {"running", "queued", "restarting"}
BAD = {"failed", "upstream_failed"}
ANY_INDEX = {"one_success", "one_failed", "one_done"}
"""Inside a mapped group these rules look at all instances."""

Key = tuple[str, int]
"""Task and map index."""


@dataclass
class Task:
    """A task; `over` is what it, or its mapped group, is mapped over: a task's result or a literal's length.

    `around` is the same of the mapped group around that group, if there is one; `group` begins with that one's name.
    """

    name: str
    upstreams: frozenset[str]
    rule: str = "all_success"
    retries: int = 0
    is_setup: bool = False
    is_teardown: bool = False
    over: str | int | None = None
    group: str | None = None
    around: str | int | None = None

    def overs(self) -> list[str | int]:
        return [over for over in (self.over, self.around) if over is not None]

    def is_beside(self, other: "Task") -> bool:
        """Whether both are in groups side by side inside a mapped one."""
        return self.around is not None and other.around is not None and self.group != other.group


@dataclass
class Instance:
    state: str | None = None
    tries: int = 0
    max_tries: int = 0
    infra: int = 0
    expands: bool = False


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
    instances: dict[Key, Instance] = field(default_factory=dict)
    state: str = "running"
    returned: dict[Key, int] = field(default_factory=dict)
    """The lengths of the lists that instances returned, as long as their results are there."""
    fans: dict[str, int | None] = field(default_factory=dict)
    """The length of a task's inner group when the task was expanded last (docs/decisions/0007)."""

    def __post_init__(self) -> None:
        for task in self.tasks.values():
            mapped = task.over is not None and not self.expands(task)
            for index in range(self.literal_length(task) or 0) if mapped else [-1]:
                self.instances[task.name, index] = self.fresh(task)
        self.settle()

    def fresh(self, task: Task) -> Instance:
        return Instance(max_tries=task.retries, expands=self.expands(task))

    def literal_length(self, task: Task) -> int | None:
        """How many instances it has if it is mapped over literals alone."""
        lengths = [over for over in task.overs() if isinstance(over, int)]
        return prod(lengths) if len(lengths) == len(task.overs()) else None

    def expands(self, task: Task) -> bool:
        """Whether the number of its instances is found at run time.

        So it is where a group beside it has fewer instances than it: some wait for nothing there.
        """
        length = self.literal_length(task)
        if task.over is None or not length or task.rule in ANY_INDEX:
            return task.over is not None and not length
        before = task.upstreams | (self.scope(task) if task.is_teardown else self.indirect_setups(task))
        return any(
            task.is_beside(self.tasks[name]) and 0 < (self.literal_length(self.tasks[name]) or 0) < length
            for name in before
        )

    def keys(self, name: str) -> list[Key]:
        return sorted(key for key in self.instances if key[0] == name)

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

    def states(self, task: Task, index: int, upstreams: set[str] | frozenset[str]) -> list[str | None]:
        """The states of the instances of upstream tasks that count for one instance."""
        found = []
        for name in sorted(upstreams):
            upstream = self.tasks[name]
            for key in self.keys(name):
                state = self.instances[key].state
                if state == "removed" and self.expands(upstream):
                    continue
                if self.refers(task, index, upstream, key[1]):
                    found.append(state)
        return found

    def refers(self, task: Task, index: int, upstream: Task, other: int) -> bool:
        """Whether an instance waits for instance `other` of an upstream task (docs/map-reduce.md)."""
        if task.group is None or upstream.group is None or task.rule in ANY_INDEX or other == -1:
            return True
        if task.group == upstream.group or task.around is None:
            return other == index
        fan = self.fan(task)
        if fan == 0:
            return True  # it will have no instances, whatever happens
        if fan is None or index == -1:
            return False
        if upstream.around is None:
            return other == index // fan
        return index // fan == other // fan

    def fan(self, task: Task) -> int | None:
        """How many instances it has for each of the group around its own."""
        return task.over if isinstance(task.over, int) else self.fans.get(task.name)

    def decision(self, task: Task, index: int) -> str | None:
        direct = decide(
            task.rule,
            self.states(task, index, task.upstreams),
            self.states(task, index, {up for up in task.upstreams if self.tasks[up].is_setup}),
        )
        if task.rule == "always":
            return direct
        needed: list[str | None] = []
        if not task.is_teardown:
            needed = self.states(task, index, self.indirect_setups(task))
        if isinstance(task.over, str):
            needed += [self.instances[key].state for key in [(task.over, -1)] if key in self.instances]
        if BAD & set(needed):
            return "upstream_failed"
        if "skipped" in needed:
            return "skipped"
        waits = any(state != "success" for state in needed)
        if task.is_teardown:
            waits |= any(state not in FINAL for state in self.states(task, index, self.scope(task)))
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

    def length(self, over: str | int) -> int | None:
        """How many instances a map has now; None: not known."""
        if isinstance(over, int):
            return over
        if self.tasks[over].over is None or self.tasks[over].group:
            return self.returned.get((over, -1))
        if any(self.instances[key].state not in FINAL for key in self.keys(over)):
            return None
        return sum(1 for key in self.returned if key[0] == over and key[1] >= 0)

    def settle(self) -> None:
        """Evaluate in rounds; each round sees what the rounds before it decided."""
        if self.state != "running":
            return
        while True:
            decided = {
                key: decision
                for key, instance in self.instances.items()
                if instance.state is None and (decision := self.decision(self.tasks[key[0]], key[1]))
            }
            if not decided:
                break
            expanding: dict[str, list[int]] = {}
            for key, decision in decided.items():
                if decision == "run" and self.instances[key].expands:
                    expanding.setdefault(key[0], []).append(key[1])
                else:
                    self.instances[key].state = "scheduled" if decision == "run" else decision
            for name, indexes in expanding.items():
                self.expand(self.tasks[name], indexes)
        if all(instance.state in FINAL for instance in self.instances.values()):
            leaves = self.leaves()
            bad = any(one.state in BAD for key, one in self.instances.items() if key[0] in leaves)
            self.state = "failed" if bad else "success"

    def expand(self, task: Task, indexes: list[int]) -> None:
        """Give a task the instances its map has, because the given ones may run."""
        lengths = [self.length(over) for over in task.overs()]
        length = None if None in lengths else prod(one for one in lengths if one is not None)
        if task.around is not None and isinstance(task.over, str) and self.fans.get(task.name) != lengths[0]:
            self.fans[task.name] = lengths[0]
            if length == 0:
                return  # it waits for all instances of its upstreams now
        waiting = [key for key in self.keys(task.name) if self.instances[key].state is None]
        if length is None:
            for index in indexes:
                self.instances[task.name, index].expands = False
                if index == -1:
                    self.instances[task.name, index].state = "upstream_failed"
            return
        # mapped over nothing now: its first instance is skipped for all of them, unless some are done
        first = waiting[0] if length == 0 and waiting == self.keys(task.name) else None
        for key in waiting:
            self.instances[key].expands = False
            if key == first or key[1] >= length:
                self.instances[key].state = "skipped" if key == first else "removed"
                self.returned.pop(key, None)
        if length == 0:
            return
        self.instances.pop((task.name, -1), None)
        for index in range(length):
            if (task.name, index) not in self.instances:
                self.instances[task.name, index] = Instance(max_tries=task.retries)

    def leaves(self) -> set[str]:
        """Airflow: _tis_for_dagrun_state (no test uses on_failure_fail_dagrun)."""
        found = {
            name
            for name, task in self.tasks.items()
            if not task.is_teardown and all(self.tasks[other].is_teardown for other in self.downstream(name))
        }
        return found or {name for name in self.tasks if not self.downstream(name)}

    def start(self, key: Key) -> None:
        instance = self.instances[key]
        assert instance.state == "scheduled"
        instance.state = "running"
        instance.tries += 1
        if instance.tries > 1:
            self.returned.pop(key, None)

    def end(self, ends: dict[Key, str], lengths: dict[Key, int]) -> None:
        for key, end in ends.items():
            instance = self.instances[key]
            if end == "success":
                self.returned[key] = lengths[key]
            if instance.state == "restarting" or (end == "failed" and 0 < instance.max_tries >= instance.tries):
                instance.state = "scheduled"
            else:
                instance.state = end
        self.settle()

    def lose(self, keys: set[Key]) -> None:
        for key in keys:
            instance = self.instances[key]
            again = instance.state == "restarting" or instance.infra < 3
            instance.state = "scheduled" if again else "failed"
            instance.infra += 1
            instance.max_tries += instance.max_tries > 0
        self.settle()

    def skip(self, names: set[str]) -> None:
        for name in names:
            for key in self.keys(name):
                if self.instances[key].state in (None, "scheduled"):
                    self.instances[key].state = "skipped"
        self.settle()

    def clear(self, keys: set[Key]) -> None:
        for key in keys:
            instance, task = self.instances[key], self.tasks[key[0]]
            if instance.state in ("running", "restarting"):
                instance.state = "restarting"
                instance.expands = False
            else:
                instance.state = None
                instance.max_tries = instance.tries + task.retries
                instance.expands = self.expands(task)
            instance.infra = 0
        if self.state != "running":
            self.state = "queued"
        self.settle()

    def mark(self, names: set[str], state: str, below: set[Key]) -> None:
        """Those not in that state change; then what had failed among those below is cleared."""
        changed = {key for key, one in self.instances.items() if key[0] in names and one.state != state}
        if not changed:
            return
        for key in changed:
            self.instances[key].state = state
        again = {key for key in below if self.instances[key].state in BAD}
        if again:
            self.clear(again)
        else:
            self.settle()

    def begin(self) -> None:
        if self.state == "queued":
            self.state = "running"
            self.settle()
