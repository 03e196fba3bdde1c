"""The messages by which an attempt says how it ended."""

import datetime as dt
from dataclasses import dataclass, field
from typing import Any

from leoflow.engine import XComValue
from leoflow.execution.context import AttemptContext, Message

TERMINAL = frozenset({"SucceedTask", "TaskState", "RetryTask", "RescheduleTask", "DeferTask"})
"""Types of the messages that end an attempt."""


@dataclass(slots=True)
class Outcome:
    """How an attempt ended, as the engine is told.

    Attributes:
        state: success, failed, skipped, removed, up_for_reschedule or deferred.
        is_retryable: whether a failed attempt may be tried again if tries are left.
        end_date: by the attempt's clock, for information; the engine uses the database's.
        due_at: when a rescheduled attempt wants to run again.
        xcoms: values written in the same transaction.
        message: the SDK's message, for what the engine does not take yet (deferral, asset events).
    """

    state: str
    is_retryable: bool = True
    end_date: dt.datetime | None = None
    due_at: dt.datetime | None = None
    xcoms: list[XComValue] = field(default_factory=list)
    message: Message | None = None

    @property
    def sets_a_timer(self) -> bool:
        """Whether the instance may become due at a later time, so that the timers must look again."""
        return bool(self.due_at) or (self.state == "failed" and self.is_retryable)


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
        return Outcome("success")
    if kind == "RetryTask":
        return Outcome("failed", is_retryable=True)
    if kind == "RescheduleTask":
        return Outcome("up_for_reschedule", due_at=message["reschedule_date"])
    if kind == "DeferTask":
        return Outcome("deferred")
    # Airflow sends "failed" instead of a retry when the exception forbids one (AirflowFailException).
    return Outcome(_state_name(message["state"]), is_retryable=False)


def _state_name(state: Any) -> str:
    return str(getattr(state, "value", state))


def without_triggerer(outcome: Outcome) -> tuple[Outcome, str | None]:
    """Return the outcome as it can be recorded, and what the attempt's log must say when that is another one."""
    if outcome.state != "deferred":
        return outcome, None
    text = (
        "The task deferred itself to a trigger, and this installation has no triggerer yet. "
        "Run the operator with deferrable=False, or a sensor in mode='reschedule'."
    )
    return Outcome("failed", is_retryable=False, end_date=outcome.end_date, xcoms=outcome.xcoms), text
