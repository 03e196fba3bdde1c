"""leoflow.yaml: what is right is read, what is wrong is named by line, field and remedy."""

from pathlib import Path

import pytest

from leoflow.spec import LeoflowYaml, YamlError, read_leoflow_yaml

FULL = """\
schema_version: "1.0"
dag_id: etl
description: nightly
owner: data
tags: [a, b]
python_version: "3.12"
base_image: ghcr.io/acme/base:1
dependencies: ["pandas>=2", "numpy; python_version < '3.13'"]
system_packages: [libpq5]
connectors: [postgres, cncf.kubernetes]
connections: [warehouse]
variables: [region]
dag_source: src/dag.py
include_paths: [src, sql]
exclude_paths: ["*.csv"]
build: {dockerfile: Dockerfile, context: ., platforms: [linux/arm64], labels: {team: data}}
registry: {url: ghcr.io/acme, image_name: etl, tag_strategy: git_sha}
defaults:
  retries: 2
  retry_delay_seconds: 60
  execution_timeout_seconds: 3600
  resources: {cpu: 500m, memory: 1Gi}
  node_selector: {pool: batch}
staging: {enabled: true, size: 5Gi, storage_class: fast}
alerts: {on_failure: [{type: slack, conn: slack_default, message: "{{dag}} failed"}]}
tasks:
  load:
    retries: 5
    env: {MODE: full}
    resources: {requests: {cpu: "1"}, limits: {memory: 2Gi, nvidia.com/gpu: "1"}}
    execution: {node_selector: {gpu: "yes"}, tolerations: [{key: gpu}], image_pull_policy: Always}
"""


def read(tmp_path: Path, text: str | bytes) -> LeoflowYaml:
    path = tmp_path / "leoflow.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_leoflow_yaml(path)


def error(tmp_path: Path, text: str | bytes) -> YamlError:
    with pytest.raises(YamlError) as caught:
        read(tmp_path, text)
    return caught.value


def test_every_key_of_the_contract_is_read(tmp_path: Path) -> None:
    config = read(tmp_path, FULL)
    assert config.tasks["load"].env == {"MODE": "full"}
    assert config.requirements() == (
        "apache-airflow-providers-cncf-kubernetes",
        "apache-airflow-providers-postgres",
        "numpy; python_version < '3.13'",
        "pandas>=2",
    )


@pytest.mark.parametrize("text", ["", "# only a comment\n", "{}"])
def test_everything_is_optional(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text) == LeoflowYaml()


@pytest.mark.parametrize(
    ("text", "line", "key", "guess"),
    [
        ("dag_id: a\ndependancies: []\n", 2, "dependancies", "dependencies"),
        ("defaults:\n  retrys: 1\n", 2, "defaults.retrys", "retries"),
        (
            "tasks:\n  a:\n    execution:\n      nodeselector: {}\n",
            4,
            "tasks.a.execution.nodeselector",
            "node_selector",
        ),
        (
            "alerts:\n  on_failure:\n    - type: slack\n      conn: c\n      mesage: hi\n",
            5,
            "mesage",
            "message",
        ),
    ],
)
def test_an_unknown_key_names_its_line_and_the_nearest_key(
    tmp_path: Path, text: str, line: int, key: str, guess: str
) -> None:
    found = error(tmp_path, text)
    assert found.line == line
    assert found.where == f"leoflow.yaml:{line}"
    assert key in found.what
    assert guess in found.hint


def test_an_unknown_key_like_no_other_lists_the_valid_ones(tmp_path: Path) -> None:
    assert "retry_delay_seconds" in error(tmp_path, "defaults:\n  xyzzy: 1\n").hint


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("dag_id: a\ndag_id: b\n", 2, "twice"),
        ("tasks:\n  a: {}\n  b: {}\n  a: {}\n", 4, "twice"),
        ("dag_id: [\n", 2, "invalid YAML"),
        ("a: b: c\n", 1, "invalid YAML"),
        ("\tdag_id: a\n", 1, "invalid YAML"),
        ("- a\n- b\n", 1, "mapping"),
        ("just text", 1, "mapping"),
        ("dag_id: 'no spaces'\n", 1, "dag_id"),
        ("schema_version: '2.0'\n", 1, "schema_version"),
        ("python_version: 3.12\n", 1, "python_version"),
        ("defaults:\n  retries: -1\n", 2, "defaults.retries"),
        ("defaults:\n  retries: many\n", 2, "defaults.retries"),
        ("\ndag_source: ../other/dag.py\n", 2, "dag_source"),
        ("dag_source: /etc/passwd\n", 1, "dag_source"),
        ("include_paths:\n  - ok\n  - ../up\n", 3, "include_paths.1"),
        ("include_paths: [.hidden]\n", 1, "include_paths.0"),
        ("base_image: 'a b'\n", 1, "base_image"),
        ('dependencies:\n  - "pandas\\n--index-url x"\n', 2, "dependencies.0"),
        ("system_packages: ['-y evil']\n", 1, "system_packages.0"),
        ("registry: {image_name: x}\n", 1, "registry.url"),
        ("staging: {size: big}\n", 1, "staging.size"),
        ("tasks:\n  a:\n    env:\n      A B: c\n", 4, "tasks.a.env.A B"),
        ("? [a]\n: b\n", 1, "keys must be plain text"),
        ("a: !!python/object:os.system {}\n", 1, "unknown key"),
    ],
)
def test_what_is_wrong_is_named_by_line(tmp_path: Path, text: str, line: int, what: str) -> None:
    found = error(tmp_path, text)
    assert what in found.what
    assert found.line == line


def test_the_first_of_several_errors_in_the_file_is_reported(tmp_path: Path) -> None:
    assert error(tmp_path, "dag_id: a\nowner: ''\nretrys: 1\n").line == 2


def test_not_utf8_names_the_line(tmp_path: Path) -> None:
    assert error(tmp_path, b"dag_id: a\nowner: \xff\n").where == "leoflow.yaml:2"


def test_a_byte_order_mark_is_fine(tmp_path: Path) -> None:
    assert read(tmp_path, b"\xef\xbb\xbfdag_id: a\n").dag_id == "a"


def test_a_huge_file_is_refused(tmp_path: Path) -> None:
    assert "larger" in error(tmp_path, "# " + "x" * (1 << 20)).what


def test_an_alias_bomb_is_refused(tmp_path: Path) -> None:
    bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{b}: &{b} [{','.join(f'*{a}' for _ in range(9))}]\n" for a, b in zip("abcdefg", "bcdefgh", strict=True)
    )
    assert "too large" in error(tmp_path, bomb).what


def test_a_self_reference_is_refused(tmp_path: Path) -> None:
    assert "too large" in error(tmp_path, "tags: &x [*x]\n").what


def test_deep_nesting_is_refused(tmp_path: Path) -> None:
    assert error(tmp_path, "tags: " + "[" * 5000 + "]" * 5000).what


def test_a_number_where_text_is_wanted_says_to_quote_it(tmp_path: Path) -> None:
    assert "quotes" in error(tmp_path, "owner: 7\n").hint


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(YamlError, match="cannot be read"):
        read_leoflow_yaml(tmp_path / "leoflow.yaml")
