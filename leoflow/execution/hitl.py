"""Human in the loop: a task asks a person, its trigger looks whether there is an answer, or answers by a default."""

from typing import Any

from psycopg.rows import TupleRow
from psycopg.types.json import Jsonb

from leoflow.db import queries
from leoflow.execution.context import AttemptContext, Message, Reply, Store
from leoflow.execution.faults import FaultError, refused

_ASKED = ("options", "subject", "body", "defaults", "multiple", "params", "assigned_users")


async def ask(store: Store, attempt: AttemptContext, message: Message) -> Reply:
    """Ask a person on behalf of the attempt's try; asking again takes an earlier answer back.

    Raises:
        FaultError: another instance's question, no options, or the attempt was superseded.
    """
    _require_own(attempt, message)
    options = [str(option) for option in message["options"]]
    if not options:
        raise refused("a question to a person needs at least one option", 422)
    defaults = message.get("defaults")
    row = await store.row(
        queries.load("execution").ask_person,
        {
            **_instance(attempt),
            "attempt_id": attempt.claimed.attempt_id,
            "options": options,
            "subject": message["subject"],
            "body": message.get("body"),
            "defaults": None if defaults is None else [str(option) for option in defaults],
            "multiple": bool(message.get("multiple")),
            "params": Jsonb(message.get("params") or {}),
            "assigned_users": Jsonb(_users(message.get("assigned_users"))),
        },
    )
    if row is None:
        raise refused("this attempt has been superseded; its question is not asked", 409)
    asked = dict(zip(_ASKED, row, strict=True))
    return {"type": "HITLDetailRequestResult", "ti_id": str(attempt.claimed.attempt_id), **asked}


async def get_answer(store: Store, attempt: AttemptContext, message: Message) -> Reply:
    """Return the answer so far.

    Raises:
        FaultError: nothing was asked.
    """
    _require_own(attempt, message)
    row = await store.row(queries.load("execution").answer_of_person, _instance(attempt))
    if row is None:
        raise _nothing_asked()
    return _answer(row)


async def answer_by_default(store: Store, attempt: AttemptContext, message: Message) -> Reply:
    """Answer the attempt's question without a person, when its time is over.

    Raises:
        FaultError: nothing was asked, or somebody answered already.
    """
    _require_own(attempt, message)
    chosen = [str(option) for option in message["chosen_options"]]
    parameters = {
        **_instance(attempt),
        "chosen_options": chosen,
        "params_input": Jsonb(message.get("params_input") or {}),
    }
    row = await store.row(queries.load("execution").answer_by_default, parameters)
    if row is not None:
        return _answer(row)
    if await store.row(queries.load("execution").answer_of_person, _instance(attempt)) is None:
        raise _nothing_asked()
    ti_id = attempt.claimed.attempt_id
    raise refused(f"Human-in-the-loop detail for Task Instance with id {ti_id} already exists.", 409)


def _answer(row: TupleRow) -> Reply:
    responded_at, user_id, user_name, chosen_options, params_input = row
    return {
        "type": "HITLDetailResponseResult",
        "response_received": responded_at is not None,
        "responded_by_user": None if user_id is None else {"id": user_id, "name": user_name},
        "responded_at": responded_at,
        "chosen_options": chosen_options,
        "params_input": params_input,
    }


def _users(given: Any) -> list[dict[str, str]]:
    return [{"id": str(user["id"]), "name": str(user["name"])} for user in given or []]


def _require_own(attempt: AttemptContext, message: Message) -> None:
    if str(message["ti_id"]) != str(attempt.claimed.attempt_id):
        raise FaultError("PERMISSION_DENIED", {"status_code": 403, "message": "a task may only ask for itself"})


def _instance(attempt: AttemptContext) -> dict[str, Any]:
    claimed = attempt.claimed
    return {
        "run_key": claimed.run_key,
        "task_idx": claimed.task_idx,
        "map_index": claimed.map_index,
        "try_number": claimed.try_number,
    }


def _nothing_asked() -> FaultError:
    text = "HITLDetail not found. This happens most likely due to clearing task instance before receiving response."
    return refused(text, 404, reason="not_found")
