import pytest

from leoflow.environments import DEFAULT_ENVIRONMENT, EnvironmentSpec
from leoflow.environments.spec import normalise
from leoflow.environments.uv import _environment
from leoflow.errors import LeoflowError


def test_equal_wishes_share_a_key_in_any_order() -> None:
    assert EnvironmentSpec("3.11", ("b", "a", "b")).key == EnvironmentSpec("3.11", ("a", "b")).key


@pytest.mark.parametrize("other", [EnvironmentSpec("3.12"), EnvironmentSpec("3.11", ("a",))])
def test_other_wishes_have_another_key(other: EnvironmentSpec) -> None:
    assert other.key != EnvironmentSpec("3.11").key


def test_the_task_sdk_is_always_there() -> None:
    assert DEFAULT_ENVIRONMENT.requirements == ("apache-airflow-task-sdk==1.2.2",)


def test_a_project_chooses_its_own_release_of_what_it_names() -> None:
    spec = EnvironmentSpec(None, ("Pydantic>=2.13 ; python_version > '3.9'",))
    assert "pydantic==" not in spec.constraints()
    assert "pydantic-core==" in spec.constraints()
    assert "\npydantic==" in DEFAULT_ENVIRONMENT.constraints()


@pytest.mark.parametrize("option", ["-r other.txt", " --index-url=http://elsewhere"])
def test_options_of_pip_are_not_requirements(option: str) -> None:
    with pytest.raises(LeoflowError, match="not a requirement"):
        _ = EnvironmentSpec(None, (option,)).requirements


def test_names_are_compared_as_the_index_does() -> None:
    assert normalise("Foo.Bar_baz") == "foo-bar-baz"


def test_uv_uses_pips_index_unless_it_has_one_of_its_own() -> None:
    assert _environment({"PIP_INDEX_URL": "http://mirror/simple"})["UV_DEFAULT_INDEX"] == "http://mirror/simple"
    both = {"PIP_INDEX_URL": "http://mirror/simple", "UV_INDEX_URL": "http://other/simple"}
    assert "UV_DEFAULT_INDEX" not in _environment(both)


def test_uv_sees_nothing_of_leoflows_own_environment() -> None:
    assert not {"VIRTUAL_ENV", "PYTHONPATH"} & _environment({"VIRTUAL_ENV": "/x", "PYTHONPATH": "/y"}).keys()
