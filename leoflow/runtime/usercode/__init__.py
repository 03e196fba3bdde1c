"""Calls one piece of a project's code on demand: a callback, a timetable. One request, one answer, then the end.

Runs in a fork of the environment's zygote, within limits its parent enforces. May change the process as it likes.
"""

from typing import Any

__all__ = ["call"]


def call(request: "dict[str, Any]") -> "dict[str, Any]":
    """Answer one request; see `calls.call`."""
    from leoflow.runtime.usercode import calls

    return calls.call(request)
