"""`python -m leoflow` is the `leoflow` command."""

from leoflow.cli.main import entry_point

entry_point()
