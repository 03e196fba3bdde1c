"""Effective priority weights, as Airflow's weight rules define them."""

from typing import Any

MIN_WEIGHT, MAX_WEIGHT = -(2**31), 2**31 - 1


def effective_priorities(tasks: dict[str, Any], rules: dict[str, str]) -> dict[str, int]:
    """Return each task's weight: its own (`absolute`), plus that of all its descendants or ancestors.

    Sets of tasks are bit masks, so that a chain of thousands stays cheap. A custom rule is decided when an instance
    is queued; until then the task's own weight stands.
    """
    own = {task_id: int(task.priority_weight) for task_id, task in tasks.items()}
    result = dict(own)
    for rule, attribute in (("downstream", "downstream_task_ids"), ("upstream", "upstream_task_ids")):
        wanted = [task_id for task_id in tasks if rules[task_id] == rule]
        if wanted:
            relatives = {task_id: getattr(task, attribute) for task_id, task in tasks.items()}
            result.update(_sums(wanted, relatives, own))
    return {task_id: max(MIN_WEIGHT, min(MAX_WEIGHT, weight)) for task_id, weight in result.items()}


def _sums(wanted: list[str], relatives: dict[str, set[str]], own: dict[str, int]) -> dict[str, int]:
    bits = {task_id: 1 << index for index, task_id in enumerate(own)}
    masks = {weight: sum(bits[task_id] for task_id in own if own[task_id] == weight) for weight in set(own.values())}
    closure = _closures(relatives, bits)
    return {
        task_id: own[task_id] + sum(weight * bin(closure[task_id] & mask).count("1") for weight, mask in masks.items())
        for task_id in wanted
    }


def _closures(relatives: dict[str, set[str]], bits: dict[str, int]) -> dict[str, int]:
    """Return, as a mask, everything reachable from each task. The graph has no cycles."""
    done: dict[str, int] = {}
    for start in relatives:
        stack = [start]
        while stack:
            task_id = stack[-1]
            missing = [each for each in relatives[task_id] if each not in done]
            if task_id in done:
                stack.pop()
            elif missing:
                stack.extend(missing)
            else:
                mask = 0
                for each in relatives[task_id]:
                    mask |= bits[each] | done[each]
                done[task_id] = mask
                stack.pop()
    return done
