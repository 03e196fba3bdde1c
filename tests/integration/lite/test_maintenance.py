"""Backup, restore, reset and password of a Lite home, as commands."""

import stat
import subprocess
import sys
from pathlib import Path

from tests.integration.lite.test_lite import project
from tests.support.lite import lite, make_home, processes_of


def command(home: Path, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "leoflow", "lite", *arguments, "--home", str(home)]
    done = subprocess.run(line, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
    assert done.returncode == code, done.stderr
    return done


def test_a_backup_brings_everything_back_after_a_reset(tmp_path: Path) -> None:
    home, workspace, archive = make_home(tmp_path), tmp_path / "workspace", tmp_path / "backup.tar.gz"
    project(workspace, "kept")
    with lite(workspace, home) as running:
        running.wait_for_dag("kept")
        run_id = running.trigger("kept")
        assert running.wait_for_run("kept", run_id) == "success"
        refused = command(home, "reset", "--yes", code=1)
        assert "another Leoflow Lite runs on this home" in refused.stderr
        command(home, "backup", str(archive))
        assert command(home, "password").stdout.strip() == (home / "admin-password").read_text().strip()
    assert stat.S_IMODE(archive.stat().st_mode) == 0o600
    assert "--yes" in command(home, "reset", code=2).stderr
    command(home, "reset", "--yes")
    assert not (home / "pg").exists() and (home / "envs").exists()
    command(home, "restore", str(archive), "--yes")
    assert processes_of(home) == []
    with lite(workspace, home) as running:
        assert running.run_state("kept", run_id) == "success"
        assert running.xcom("kept", run_id, "load") in (42, "42")
        before = (home / "admin-password").read_text()
        command(home, "password", "--new")
        assert (home / "admin-password").read_text() != before
        running.wait_for_dag("kept")


def test_restore_refuses_what_is_no_backup_and_changes_nothing(tmp_path: Path) -> None:
    home, wrong = make_home(tmp_path), tmp_path / "wrong.tar.gz"
    (home / "admin-password").write_text("secret\n")
    wrong.write_text("not an archive")
    assert "not an archive" in command(home, "restore", str(wrong), "--yes", code=1).stderr
    assert (home / "admin-password").read_text() == "secret\n"
