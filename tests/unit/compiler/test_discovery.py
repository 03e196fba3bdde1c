"""What a path means: a project, a workspace, a plain folder of Airflow files, one file."""

import zipfile
from pathlib import Path

import pytest

from leoflow.compiler import discover
from leoflow.compiler.airflowignore import IgnoreRules
from leoflow.errors import LeoflowError

DAG = "from airflow.sdk import DAG\nd = DAG('x')\n"


def make(root: Path, *names: str, text: str = DAG) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("" if name.endswith(".yaml") else text)
    return root


def found(path: Path) -> list[tuple[str, tuple[str, ...]]]:
    return [(project.root.name, project.dag_files) for project in discover(path)]


def test_a_directory_with_leoflow_yaml_is_a_project(tmp_path: Path) -> None:
    root = make(tmp_path / "p", "leoflow.yaml", "dag.py", "other.py")
    assert found(root) == [("p", ("dag.py",))]
    assert discover(root / "leoflow.yaml") == discover(root)
    assert discover(root / "dag.py") == discover(root)


def test_a_lone_dag_py_is_a_project(tmp_path: Path) -> None:
    make(tmp_path / "p", "dag.py")
    make(tmp_path / "p", "helper.py", text="x = 1")
    assert found(tmp_path / "p") == [("p", ("dag.py",))]


def test_a_dag_py_that_does_not_mention_airflow_is_still_a_project_so_that_its_mistake_is_reported(
    tmp_path: Path,
) -> None:
    make(tmp_path / "p", "dag.py", text="def broken(:\n")
    assert found(tmp_path / "p") == [("p", ("dag.py",))]


def test_a_workspace_is_searched_recursively(tmp_path: Path) -> None:
    make(tmp_path, "b/leoflow.yaml", "b/dag.py", "team/deep/a/leoflow.yaml", "team/deep/a/dag.py", "c/dag.py")
    assert found(tmp_path) == [("b", ("dag.py",)), ("c", ("dag.py",)), ("a", ("dag.py",))]


def test_a_project_inside_a_project_belongs_to_it(tmp_path: Path) -> None:
    make(tmp_path, "a/leoflow.yaml", "a/dag.py", "a/vendored/leoflow.yaml", "a/vendored/dag.py")
    assert found(tmp_path) == [("a", ("dag.py",))]


def test_a_plain_folder_of_airflow_files(tmp_path: Path) -> None:
    make(tmp_path / "dags", "etl.py", "team/report.py", "dag.py")
    make(tmp_path / "dags", "helper.py", "team/util.py", text="def f(): ...\n")
    [project] = discover(tmp_path / "dags")
    assert project.dag_files == ("dag.py", "etl.py", "team/report.py")
    assert not project.must_define_dags


def test_loose_files_beside_projects_are_a_project_of_their_own(tmp_path: Path) -> None:
    make(tmp_path / "w", "p/leoflow.yaml", "p/dag.py", "loose.py", "more/loose2.py")
    assert found(tmp_path / "w") == [("w", ("loose.py", "more/loose2.py")), ("p", ("dag.py",))]
    files = [file.path for file in discover(tmp_path / "w")[0].tree().files]
    assert files == ["loose.py", "more/loose2.py"]


def test_a_dag_py_that_needs_what_is_beside_it_stays_a_project_among_other_files(tmp_path: Path) -> None:
    importing = DAG + "from models import size\nimport common\n"
    make(tmp_path / "w", "alone/dag.py", "loose.py")
    make(tmp_path / "w", "p/dag.py", "shared/dag.py", "two/dag.py", "two/more/other.py", text=importing)
    make(tmp_path / "w", "common.py", "p/models.py", "two/models.py", "shared/common.py", text="size = 1\n")
    assert found(tmp_path / "w") == [
        ("w", ("alone/dag.py", "loose.py", "shared/dag.py", "two/dag.py", "two/more/other.py")),
        ("p", ("dag.py",)),
    ]
    assert "p/models.py" not in [file.path for file in discover(tmp_path / "w")[0].tree().files]


def test_hidden_directories_interpreters_and_caches_are_skipped(tmp_path: Path) -> None:
    make(tmp_path, "etl.py", ".git/x.py", ".venv/y.py", "venv/z.py", "node_modules/n.py", "__pycache__/c.py")
    make(tmp_path, "myenv/lib/e.py")
    (tmp_path / "myenv" / "pyvenv.cfg").write_text("")
    assert discover(tmp_path)[0].dag_files == ("etl.py",)


def test_a_link_that_leads_in_a_circle_ends(tmp_path: Path) -> None:
    make(tmp_path, "a/etl.py")
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    (tmp_path / "self").symlink_to("self")
    assert discover(tmp_path)[0].dag_files == ("a/etl.py",)


def test_a_linked_directory_is_followed(tmp_path: Path) -> None:
    make(tmp_path / "elsewhere", "etl.py")
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "shared").symlink_to(tmp_path / "elsewhere")
    assert discover(tmp_path / "dags")[0].dag_files == ("shared/etl.py",)


def test_one_file_takes_its_directory_along(tmp_path: Path) -> None:
    make(tmp_path, "etl.py", "other.py")
    make(tmp_path, "sql/query.sql", text="select 1")
    [project] = discover(tmp_path / "etl.py")
    assert (project.name, project.dag_files) == ("etl", ("etl.py",))
    assert [file.path for file in project.tree().files] == ["etl.py", "other.py", "sql/query.sql"]


def test_one_file_in_a_huge_directory_takes_only_what_it_imports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leoflow.compiler.discovery.MAX_NEIGHBOURS", 3)
    make(tmp_path, "a.txt", "b.txt", "unrelated.py", text="")
    make(tmp_path, "etl.py", text="import helper\nfrom package.inner import f\n")
    make(tmp_path, "helper.py", text="import second\n")
    make(tmp_path, "second.py", "package/__init__.py", "package/inner.py", text="")
    files = [file.path for file in discover(tmp_path / "etl.py")[0].tree().files]
    assert files == ["etl.py", "helper.py", "package/__init__.py", "package/inner.py", "second.py"]


def test_an_include_path_that_is_not_there_names_its_line(tmp_path: Path) -> None:
    make(tmp_path, "leoflow.yaml", "dag.py")
    (tmp_path / "leoflow.yaml").write_text("include_paths:\n  - .\n  - sqll\n")
    [project] = discover(tmp_path)
    assert project.error
    assert (project.error.line, project.error.rule) == (3, "include-path")


def test_a_packaged_dag_is_found_to_be_reported(tmp_path: Path) -> None:
    make(tmp_path, "etl.py")
    for name, text in {"dags.zip": DAG, "data.zip": "x,y"}.items():
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("inner.py", text)
    (tmp_path / "broken.zip").write_bytes(b"PK not really, airflow dag")
    assert discover(tmp_path)[0].dag_files == ("dags.zip", "etl.py")


def test_a_broken_leoflow_yaml_does_not_hide_the_others(tmp_path: Path) -> None:
    make(tmp_path, "a/leoflow.yaml", "a/dag.py", "b/leoflow.yaml", "b/dag.py")
    (tmp_path / "a" / "leoflow.yaml").write_text("dag_idd: x\n")
    broken, good = discover(tmp_path)
    assert broken.error
    assert broken.error.line == 1
    assert broken.error.path == tmp_path / "a" / "leoflow.yaml"
    assert good.error is None


@pytest.mark.parametrize("name", ["nothing", "file.txt", "empty"])
def test_a_path_without_dags_is_an_error_with_a_remedy(tmp_path: Path, name: str) -> None:
    (tmp_path / "file.txt").write_text("")
    (tmp_path / "empty").mkdir()
    with pytest.raises(LeoflowError) as caught:
        discover(tmp_path / name)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("rules", "file", "ignored"),
    [
        ("skip.py", "skip.py", True),
        ("skip.py", "deep/skip.py", True),
        ("/skip.py", "deep/skip.py", False),
        ("drafts/", "drafts/a.py", True),
        ("drafts/", "x/drafts/a.py", True),
        ("*_test.py", "a/b_test.py", True),
        ("*_test.py", "a/b.py", False),
        ("a/*.py", "a/b.py", True),
        ("a/*.py", "a/c/b.py", False),
        ("a/**/b.py", "a/x/y/b.py", True),
        ("**/old", "x/old/z.py", True),
        ("*.py\n!keep.py", "keep.py", False),
        ("# comment\n\n", "a.py", False),
        ("file[0-9].py", "file7.py", True),
        ("file[!0-9].py", "file7.py", False),
        ("a.py", "aXpy", False),
    ],
)
def test_airflowignore_is_read_as_airflow_reads_it(tmp_path: Path, rules: str, file: str, ignored: bool) -> None:
    (tmp_path / ".airflowignore").write_text(rules)
    assert IgnoreRules(tmp_path).match(file) is ignored


def test_airflowignore_of_a_directory_counts_below_it(tmp_path: Path) -> None:
    make(tmp_path, "a/x.py", "b/x.py")
    (tmp_path / "a" / ".airflowignore").write_text("x.py")
    assert discover(tmp_path)[0].dag_files == ("b/x.py",)
