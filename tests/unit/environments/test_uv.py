"""The uv that tasks find, and where it takes packages from."""

import os
import subprocess
from pathlib import Path

from leoflow.environments.uv import offer_uv


def test_tasks_without_a_uv_find_ours_and_nothing_else(tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    pip = {"PIP_INDEX_URL": "https://index.test/simple", "PIP_EXTRA_INDEX_URL": "https://a.test https://b.test"}
    offered = offer_uv({"PATH": "/nowhere", **pip}, tools)
    assert offered["PATH"] == f"/nowhere{os.pathsep}{tools}"
    assert os.listdir(tools) == ["uv"]
    assert subprocess.run(["uv", "--version"], env=offered, capture_output=True, check=True).stdout.startswith(b"uv ")
    assert offered["UV_DEFAULT_INDEX"] == "https://index.test/simple"
    assert (offered["UV_INDEX"], offered["UV_INDEX_STRATEGY"]) == ("https://a.test https://b.test", "unsafe-best-match")
    assert offer_uv({"PATH": "/nowhere"}, tools)["PATH"] == offered["PATH"], "again"


def test_a_uv_of_the_users_own_is_left_alone(tmp_path: Path) -> None:
    mine = tmp_path / "bin" / "uv"
    mine.parent.mkdir()
    mine.write_text("#!/bin/sh\n")
    mine.chmod(0o755)
    environment = {"PATH": str(mine.parent), "PIP_INDEX_URL": "https://index.test/simple"}
    assert offer_uv(environment, tmp_path / "tools") == environment
    assert not (tmp_path / "tools").exists()


def test_where_no_link_can_be_made_nothing_changes(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    environment = {"PATH": "/nowhere"}
    assert offer_uv(environment, tmp_path / "file" / "tools") == environment
