"""The files of a project, their hash, and the snapshot of them."""

import os
import shutil
from pathlib import Path

import pytest

from leoflow.compiler import CompileError, Project, discover, snapshot
from leoflow.compiler.files import excluded, read_snapshot

DAG = "from airflow.sdk import DAG\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "project"
    (path / "sql").mkdir(parents=True)
    (path / "leoflow.yaml").write_text("exclude_paths: ['*.csv', 'big/raw']\n")
    (path / "dag.py").write_text(DAG)
    (path / "helper.py").write_text("x = 1\n")
    (path / "sql" / "query.sql").write_text("select 1")
    (path / "run.sh").write_text("echo hi")
    (path / "run.sh").chmod(0o755)
    return path


def project(path: Path) -> Project:
    [found] = discover(path)
    return found


def test_the_hash_depends_on_contents_names_and_executable_bits_only(root: Path, tmp_path: Path) -> None:
    before = project(root).tree_hash()
    copy = tmp_path / "elsewhere" / "copy"
    shutil.copytree(root, copy)
    os.utime(copy / "dag.py", (0, 0))
    assert project(copy).tree_hash() == before
    for change in (
        lambda: (copy / "helper.py").write_text("x = 2\n"),
        lambda: (copy / "new.txt").write_text(""),
        lambda: (copy / "helper.py").rename(copy / "helpers.py"),
        lambda: (copy / "dag.py").chmod(0o755),
    ):
        before = project(copy).tree_hash()
        change()
        assert project(copy).tree_hash() != before


def test_what_is_excluded_hidden_or_generated_does_not_count(root: Path) -> None:
    before = project(root).tree_hash()
    for name in ("data.csv", "big/raw/x", ".env", ".git/HEAD", "__pycache__/dag.pyc", "dag.json", "etl.dag.json"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x")
    assert project(root).tree_hash() == before


def test_include_paths_choose_but_never_lose_the_dag_file(root: Path) -> None:
    (root / "leoflow.yaml").write_text("include_paths: [sql]\n")
    assert [file.path for file in project(root).tree().files] == ["dag.py", "leoflow.yaml", "sql/query.sql"]


@pytest.mark.parametrize(
    ("path", "pattern", "matches"),
    [
        ("a/b.csv", "*.csv", True),
        ("data", "data/", True),
        ("x/data", "data", True),
        ("x/data", "./x/data", True),
        ("y/x/data", "x/data", False),
        ("a.csv.py", "*.csv", False),
    ],
)
def test_exclude_patterns(path: str, pattern: str, matches: bool) -> None:
    assert excluded(path, [pattern]) is matches


def test_a_pipe_is_no_file_of_a_project(root: Path) -> None:
    os.mkfifo(root / "pipe")
    assert "pipe" not in [file.path for file in project(root).tree().files]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_file_is_named(root: Path) -> None:
    (root / "helper.py").chmod(0)
    with pytest.raises(CompileError) as caught:
        project(root).tree()
    assert caught.value.file == "helper.py"


def test_too_many_files_are_refused_with_a_remedy(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("leoflow.compiler.files.MAX_FILES", 3)
    with pytest.raises(CompileError) as caught:
        project(root).tree()
    assert caught.value.rule == "too-many-files"
    assert "exclude_paths" in caught.value.hint


def test_too_much_data_is_refused_with_a_remedy(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("leoflow.compiler.files.MAX_TOTAL_BYTES", 10)
    with pytest.raises(CompileError) as caught:
        project(root).tree()
    assert caught.value.rule == "too-large"


def test_a_snapshot_is_complete_immutable_and_made_once(root: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    first = snapshot(project(root), home)
    assert first == home / "bundles" / project(root).tree_hash()
    assert read_snapshot(first).hash() == first.name
    assert (first / "sql" / "query.sql").read_text() == "select 1"
    assert os.access(first / "run.sh", os.X_OK)
    assert not (first / "dag.py").stat().st_mode & 0o222
    assert snapshot(project(root), home) == first
    (root / "dag.py").write_text(DAG + "# edited\n")
    second = snapshot(project(root), home)
    assert second != first
    assert (first / "dag.py").read_text() == DAG
    assert sorted(path.name for path in (home / "bundles").iterdir()) == sorted([first.name, second.name])


def test_a_half_copied_snapshot_of_a_killed_process_is_not_used(root: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "bundles" / ".0123").mkdir(parents=True)
    assert (snapshot(project(root), home) / "dag.py").exists()


def test_a_full_disk_or_a_missing_permission_is_an_error_with_a_remedy(root: Path, tmp_path: Path) -> None:
    (tmp_path / "home").write_text("not a directory")
    with pytest.raises(CompileError) as caught:
        snapshot(project(root), tmp_path / "home")
    assert caught.value.rule == "snapshot"


def test_a_linked_file_is_copied_by_content(root: Path, tmp_path: Path) -> None:
    (tmp_path / "shared.py").write_text("y = 1\n")
    (root / "shared.py").symlink_to(tmp_path / "shared.py")
    (root / "broken.py").symlink_to(tmp_path / "missing.py")
    copy = snapshot(project(root), tmp_path / "home")
    assert not (copy / "shared.py").is_symlink()
    assert (copy / "shared.py").read_text() == "y = 1\n"
    assert not (copy / "broken.py").exists()


def test_neighbours_that_nobody_imports_do_not_change_a_dags_hash(tmp_path: Path) -> None:
    for name, text in {"a.py": DAG, "b.py": DAG, "c.py": DAG + "from b import x\n", "helper.py": "x = 1\n"}.items():
        (tmp_path / name).write_text(text)
    [found] = discover(tmp_path)
    assert found.dag_files == ("a.py", "b.py", "c.py")

    def hash_of(file: str) -> str:
        tree = found.tree()
        return tree.hash(without=found.unrelated_files(tree, file))

    before = {file: hash_of(file) for file in found.dag_files}
    (tmp_path / "a.py").write_text(DAG + "# edited\n")
    assert {file for file in found.dag_files if hash_of(file) != before[file]} == {"a.py"}
    before = {file: hash_of(file) for file in found.dag_files}
    (tmp_path / "b.py").write_text(DAG + "x = 2\n")
    assert {file for file in found.dag_files if hash_of(file) != before[file]} == {"a.py", "b.py", "c.py"}
    before = {file: hash_of(file) for file in found.dag_files}
    (tmp_path / "helper.py").write_text("x = 2\n")
    assert {file for file in found.dag_files if hash_of(file) != before[file]} == {"a.py", "b.py", "c.py"}
