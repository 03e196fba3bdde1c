from pathlib import Path

import pytest

from leoflow.db.queries import parse


def write(directory: Path, text: str) -> Path:
    file = directory / "noun.sql"
    file.write_text(text)
    return file


def test_named_statements_are_found_by_item_and_attribute(tmp_path: Path) -> None:
    queries = parse(
        write(tmp_path, "-- Queries about nouns.\n\n-- name: one\n-- The first.\nselect 1;\n\n-- name: two\nselect 2\n")
    )
    assert list(queries) == ["one", "two"]
    assert queries["one"] == "-- The first.\nselect 1"
    assert queries.two == "select 2"


def test_a_missing_name_says_which_file(tmp_path: Path) -> None:
    queries = parse(write(tmp_path, "-- name: one\nselect 1;\n"))
    with pytest.raises(AttributeError, match=r"no query 'three' in .*noun\.sql"):
        _ = queries.three


def test_two_statements_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="two queries are named 'one'"):
        parse(write(tmp_path, "-- name: one\nselect 1;\n-- name: one\nselect 2;\n"))


def test_a_statement_without_a_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="before the first"):
        parse(write(tmp_path, "select 0;\n-- name: one\nselect 1;\n"))
