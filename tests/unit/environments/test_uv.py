"""The uv and the python that tasks find, and where uv takes packages from."""

import os
import subprocess
import sys
from pathlib import Path

from leoflow.environments.uv import offer_tools


def test_tasks_without_them_find_ours_and_nothing_else(tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    pip = {"PIP_INDEX_URL": "https://index.test/simple", "PIP_EXTRA_INDEX_URL": "https://a.test https://b.test"}
    offered = offer_tools({"PATH": "/nowhere", **pip}, tools)
    assert offered["PATH"] == f"/nowhere{os.pathsep}{tools}"
    assert sorted(os.listdir(tools)) == ["python", "uv"]
    assert subprocess.run(["uv", "--version"], env=offered, capture_output=True, check=True).stdout.startswith(b"uv ")
    told = subprocess.run(
        ["python", "-c", "import sys; print(sys.prefix)"], env=offered, capture_output=True, text=True
    )
    assert told.stdout.strip() == sys.base_prefix
    assert offered["UV_DEFAULT_INDEX"] == "https://index.test/simple"
    assert (offered["UV_INDEX"], offered["UV_INDEX_STRATEGY"]) == ("https://a.test https://b.test", "unsafe-best-match")
    assert offer_tools({"PATH": "/nowhere"}, tools)["PATH"] == offered["PATH"], "again"


def test_those_of_the_users_own_are_left_alone(tmp_path: Path) -> None:
    mine = tmp_path / "bin"
    mine.mkdir()
    for name in ("uv", "python"):
        (mine / name).write_text("#!/bin/sh\n")
        (mine / name).chmod(0o755)
    environment = {"PATH": str(mine), "PIP_INDEX_URL": "https://index.test/simple"}
    assert offer_tools(environment, tmp_path / "tools") == environment
    assert not (tmp_path / "tools").exists()


def test_where_no_link_can_be_made_nothing_changes(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    environment = {"PATH": "/nowhere"}
    assert offer_tools(environment, tmp_path / "file" / "tools") == environment
