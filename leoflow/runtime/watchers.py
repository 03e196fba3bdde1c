"""Runs the trigger of an asset watcher: again and again, since it watches until it is told to stop."""

import asyncio
import contextlib
import traceback
from collections.abc import Callable
from typing import Any

import greenback
import msgspec
import structlog

from leoflow.runtime.trigger_comms import FIRED, OBSERVED, TriggerComms

_PAUSE = 1.0
_LONGEST_PAUSE = 60.0
_LONGEST_LINE = 4000


async def keep_watching(key: int, name: str, make: Callable[[], Any], comms: TriggerComms) -> None:
    """Run a trigger until cancelled; returns when `make` says it cannot be made here.

    A trigger that ends is started again: a second later, or, while it ends without events, later and later.

    Args:
        key: of the trigger.
        name: what log lines call it.
        make: makes the trigger anew; None: its class may be in a project that this process lacks.
        comms: takes its events.
    """
    log = structlog.get_logger(logger_name="leoflow.triggers")
    pause = _PAUSE
    while True:
        seen = 0
        error: BaseException | None = None
        try:
            trigger = make()
            if trigger is None:
                return
            log.info("Trigger starting", name=name)
            async for event in _events(trigger):
                log.info("Trigger fired event", name=name, result=repr(event)[:_LONGEST_LINE])
                # The trigger goes on, and may acknowledge to its source, once the event is recorded.
                payload = msgspec.to_builtins(event.payload, str_keys=True)
                await comms.ask({"type": OBSERVED, "key": key, "payload": payload})
                seen += 1
        except (Exception, SystemExit) as raised:
            error = raised
        pause = _PAUSE if seen else min(pause * 2, _LONGEST_PAUSE)
        if error is not None or not seen:
            text = "The trigger failed" if error is not None else "The trigger ended without an event"
            log.error(f"{text}; it is started again in {pause:g} s.", exc_info=error)
            lines = traceback.format_exception(error) if error is not None else [text]
            comms.tell({"type": FIRED, "key": key, "outcome": "failed_trigger", "payload": {"traceback": lines}})
        await asyncio.sleep(pause)


async def _events(trigger: Any) -> Any:
    """Yield the trigger's events, and let it clean up."""
    from airflow.triggers.base import TriggerEvent

    await greenback.ensure_portal()
    events = trigger.run()
    try:
        async for event in events:
            if not isinstance(event, TriggerEvent):
                raise TypeError(f"the trigger yielded a {type(event).__name__}, not a TriggerEvent")
            yield event
    finally:
        with contextlib.suppress(Exception):
            await events.aclose()
        with contextlib.suppress(Exception):
            await trigger.cleanup()
