"""Runs the triggers of deferred task instances. May import the worker's launchers and what lies below.

`triggerer` holds the lease and talks to the database; `runner` is its end of one child process per environment, where
the triggers' own code runs. See docs/deferral.md.
"""

from leoflow.triggerer.triggerer import Triggerer

__all__ = ["Triggerer"]
