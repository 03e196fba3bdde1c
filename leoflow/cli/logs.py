"""Logging of commands and processes."""

import logging
import os
import sys
from typing import TextIO

import structlog


def debugging() -> bool:
    """Whether the user asked for details: `--debug` anywhere on the command line, or LEOFLOW_DEBUG."""
    return "--debug" in sys.argv or bool(os.environ.get("LEOFLOW_DEBUG"))


def configure_logging(*, debug: bool = False, quiet: bool = False, stream: TextIO | None = None) -> None:
    """Send structlog's and the standard library's records to `stream` (default: stderr).

    Everything from INFO on; with `debug` everything, with `quiet` only warnings and errors.

    People at a terminal get readable lines, everyone else one JSON object per line. Commands that print data use
    stderr, long-running processes stdout.
    """
    target = stream or sys.stderr
    level = logging.DEBUG if debug else logging.WARNING if quiet else logging.INFO
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: structlog.typing.Processor
    if target.isatty():
        renderer = structlog.dev.ConsoleRenderer()
    else:
        shared.append(structlog.processors.format_exc_info)
        renderer = structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(target),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(target)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processor=renderer, foreign_pre_chain=shared))
    logging.basicConfig(handlers=[handler], level=logging.DEBUG if debug else logging.WARNING, force=True)
