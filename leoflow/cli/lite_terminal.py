"""What Lite says on the terminal."""

import os
import sys
import time
from pathlib import Path

from leoflow.errors import LeoflowError
from leoflow.lite.process import Ready
from leoflow.lite.registry import Registered

COLOURS = {"red": 31, "green": 32, "yellow": 33, "dim": 2, "bold": 1}


class LiteTerminal:
    """Plain lines on stderr, with colours on a terminal. Implements `leoflow.lite.process.Terminal`."""

    def __init__(self) -> None:
        self._colours = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
        self._started = time.monotonic()

    def step(self, text: str) -> None:
        """Something that may take a while begins."""
        self._say(self._paint("dim", f"  {text} …"))

    def ready(self, facts: Ready) -> None:
        """The block a user looks for."""
        seconds = time.monotonic() - self._started
        self._say("")
        self._say(
            self._paint("bold", f"  Leoflow Lite is ready at {facts.url}") + self._paint("dim", f"  ({seconds:.1f} s)")
        )
        self._say(f"    DAGs    {_shown(facts.path)}")
        self._say(f"    data    {_shown(facts.home)}")
        self._say(f"    slots   {facts.slots} attempts at a time")
        if facts.new_password:
            self._say(
                f"    login   admin / {facts.new_password}   (shown once; `leoflow lite password` prints it again)"
            )
        self._say(self._paint("dim", "    Ctrl-C stops it"))
        self._say("")

    def registered(self, dag: Registered, seconds: float) -> None:
        """A new version of a DAG, and what the compiler remarks on it."""
        done = self._paint("green", "✓")
        self._say(f"{done} {dag.dag_id} version {dag.version_number} " + self._paint("dim", f"{seconds:.2f} s"))
        for warning in dag.warnings:
            self._say(f"{self._paint('yellow', '!')} {dag.dag_id}: {warning}")

    def broken(self, error: LeoflowError) -> None:
        """A file that cannot be loaded."""
        self._say(f"{self._paint('red', '✗')} {error}")
        if error.hint:
            self._say(self._paint("dim", f"  hint: {error.hint}"))

    def deactivated(self, dag_id: str) -> None:
        """A DAG whose definition is gone."""
        self._say(f"{self._paint('yellow', '-')} {dag_id} is no longer defined; its history is kept")

    def stopping(self) -> None:
        """Ctrl-C arrived."""
        self._say("\nstopping; Ctrl-C again stops at once")

    def _paint(self, colour: str, text: str) -> str:
        return f"\033[{COLOURS[colour]}m{text}\033[0m" if self._colours else text

    def _say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)


def _shown(path: Path) -> str:
    """A path as a person would write it."""
    try:
        return f"~/{path.relative_to(Path.home())}"
    except ValueError:
        return str(path)
