import psycopg
import pytest
from psycopg import errors

from leoflow.db.retry import is_transient, retry_transient

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (errors.DeadlockDetected("x"), True),
        (errors.SerializationFailure("x"), True),
        (errors.AdminShutdown("x"), True),
        (errors.ConnectionFailure("x"), True),
        (psycopg.OperationalError("the connection is closed"), True),
        (errors.UniqueViolation("x"), False),
        (psycopg.ProgrammingError("x"), False),
        (ValueError("x"), False),
    ],
)
def test_only_errors_that_a_repeat_may_cure_are_transient(error: Exception, expected: bool) -> None:
    assert is_transient(error) is expected


async def test_a_deadlock_is_retried_until_it_works() -> None:
    calls = 0

    async def operation() -> str:
        nonlocal calls
        calls += 1
        if calls < 3:
            raise errors.DeadlockDetected("deadlock")
        return "done"

    assert await retry_transient(operation, first_delay=0.001) == "done"
    assert calls == 3


async def test_the_last_error_is_raised_when_attempts_are_used_up() -> None:
    calls = 0

    async def operation() -> None:
        nonlocal calls
        calls += 1
        raise errors.SerializationFailure("again")

    with pytest.raises(errors.SerializationFailure):
        await retry_transient(operation, attempts=3, first_delay=0.001)
    assert calls == 3


async def test_a_mistake_is_not_retried() -> None:
    calls = 0

    async def operation() -> None:
        nonlocal calls
        calls += 1
        raise errors.UniqueViolation("twice")

    with pytest.raises(errors.UniqueViolation):
        await retry_transient(operation)
    assert calls == 1
