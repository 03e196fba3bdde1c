"""The messages by which an attempt says how it ended."""

import datetime as dt
import json
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter, ValidationError

from leoflow.engine import Deferral, Outlets, XComValue
from leoflow.execution.context import AttemptContext, Message
from leoflow.execution.values import without_nul

TERMINAL = frozenset({"SucceedTask", "TaskState", "RetryTask", "RescheduleTask", "DeferTask"})
"""Types of the messages that end an attempt."""

_LARGEST_ARGUMENTS = 1024 * 1024
_LONGEST_CLASSPATH = 1000
_DURATION = TypeAdapter(dt.timedelta)


@dataclass(slots=True)
class Outcome:
    """How an attempt ended, as the engine is told.

    Attributes:
        state: success, failed, skipped, removed, up_for_reschedule or deferred.
        is_retryable: whether a failed attempt may be tried again if tries are left.
        end_date: by the attempt's clock, for information; the engine uses the database's.
        due_at: when a rescheduled attempt wants to run again.
        xcoms: values written in the same transaction.
        message: the SDK's message.
        deferral: what a deferred attempt waits for.
        outlets: what a successful attempt says of its outlets.
        is_silent: nothing was reported: the attempt's process ended before.
        is_refused: stands for an outcome that the database could not take.
    """

    state: str
    is_retryable: bool = True
    end_date: dt.datetime | None = None
    due_at: dt.datetime | None = None
    xcoms: list[XComValue] = field(default_factory=list)
    message: Message | None = None
    deferral: Deferral | None = None
    outlets: Outlets | None = None
    is_silent: bool = False
    is_refused: bool = False

    @property
    def sets_a_timer(self) -> bool:
        """Whether the instance may become due at a later time, so that the timers must look again."""
        times_out = self.deferral is not None and self.deferral.timeout_seconds is not None
        return bool(self.due_at) or times_out or (self.state == "failed" and self.is_retryable)


def outcome_of(attempt: AttemptContext, message: Message) -> Outcome:
    """Return the outcome a terminal message reports, with the XComs held for it."""
    kind = message["type"]
    label = message.get("rendered_map_index")
    if label is not None:
        attempt.rendered_map_index = label
    outcome = _outcome(kind, message)
    outcome.end_date = message.get("end_date")
    outcome.message = message
    outcome.xcoms = list(attempt.held.values())
    return outcome


def _outcome(kind: str, message: Message) -> Outcome:
    if kind == "SucceedTask":
        return Outcome("success", outlets=_outlets(message))
    if kind == "RetryTask":
        return Outcome("failed", is_retryable=True)
    if kind == "RescheduleTask":
        return Outcome("up_for_reschedule", due_at=message["reschedule_date"])
    if kind == "DeferTask":
        return Outcome("deferred")
    # Airflow sends "failed" instead of a retry when the exception forbids one (AirflowFailException).
    return Outcome(_state_name(message["state"]), is_retryable=False)


def _outlets(message: Message) -> Outlets | None:
    """Return what a success says of outlets. Without outlets, what the task recorded is about nothing."""
    profiles = message.get("task_outlets")
    if not profiles:
        return None
    return Outlets(without_nul(profiles), without_nul(message.get("outlet_events") or []))


def _state_name(state: Any) -> str:
    return str(getattr(state, "value", state))


def storable(outcome: Outcome) -> tuple[Outcome, str | None]:
    """Return the outcome as it can be recorded, and what the attempt's log must say when that is another one."""
    if outcome.state != "deferred" or outcome.message is None:
        return outcome, None
    try:
        outcome.deferral = deferral_of(outcome.message)
    except ValueError as error:
        text = f"The task deferred itself to a trigger, but what it asked for cannot be kept: {error}"
        return Outcome("failed", is_retryable=False, end_date=outcome.end_date, xcoms=outcome.xcoms), text
    return outcome, None


def deferral_of(message: Message) -> Deferral:
    """Return what a `DeferTask` message waits for.

    Raises:
        ValueError: a part of it cannot be stored; the text names it.
    """
    classpath, method = message.get("classpath"), message.get("next_method")
    if not isinstance(classpath, str) or "." not in classpath.strip(".") or len(classpath) > _LONGEST_CLASSPATH:
        raise ValueError(f"the classpath {str(classpath)[:100]!r} is no import path of a trigger class")
    if not isinstance(method, str) or not method:
        raise ValueError("next_method is missing")
    queue = message.get("queue")
    return Deferral(
        classpath,
        _arguments("the trigger's arguments", message.get("trigger_kwargs")),
        method,
        _arguments("next_kwargs", message.get("next_kwargs")),
        _seconds(message.get("trigger_timeout")),
        None if queue is None else str(queue),
    )


def _arguments(what: str, given: Any) -> dict[str, Any]:
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise ValueError(f"{what} are a {type(given).__name__}, not a mapping")
    try:
        text = json.dumps(given, allow_nan=False)
        json.dumps(given, ensure_ascii=False).encode()  # refuses half surrogate pairs
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{what} are not JSON ({error})") from error
    if len(text) > _LARGEST_ARGUMENTS:
        raise ValueError(f"{what} have {len(text):,} bytes as JSON and the limit is {_LARGEST_ARGUMENTS:,}")
    if "\\u0000" in text:
        raise ValueError(f"{what} contain a NUL character")
    return given


def _seconds(given: Any) -> float | None:
    """Return a time-out in seconds, from a duration, a number or ISO 8601 text as both transports send it."""
    if given is None:
        return None
    try:
        return max(0.0, _DURATION.validate_python(given).total_seconds())
    except ValidationError as error:
        raise ValueError(f"the time-out {str(given)[:100]!r} is no duration") from error
