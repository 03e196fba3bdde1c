import pytest

from leoflow.cli.lite_terminal import LiteTerminal
from leoflow.lite.registry import Registered


def test_a_new_version_is_shown_with_its_warnings(capsys: pytest.CaptureFixture[str]) -> None:
    LiteTerminal().registered(Registered("sales", 3, True, ("task load: executor= is ignored",)), 0.5)
    shown = capsys.readouterr().err.splitlines()
    assert shown == ["✓ sales version 3 0.50 s", "! sales: task load: executor= is ignored"]
