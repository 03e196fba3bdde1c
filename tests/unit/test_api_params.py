from typing import Any

import pytest
from fastapi import HTTPException

from leoflow.api.public.params import check_conf

NUMBER = {"value": 3, "schema": {"type": "integer", "maximum": 10}}


@pytest.mark.parametrize("conf", [{}, {"n": 10}, {"n": 1, "more": "is fine"}])
def test_a_conf_that_fits_passes(conf: dict[str, Any]) -> None:
    check_conf({"n": NUMBER, "free": {"value": None, "schema": {}}}, conf)


@pytest.mark.parametrize(
    ("params", "conf", "reason"),
    [
        ({"n": NUMBER}, {"n": 11}, "param n: 11 is greater than the maximum of 10"),
        ({"n": NUMBER}, {"n": None}, "param n: None is not of type 'integer'"),
        ({"n": {**NUMBER, "has_value": False, "value": None}}, {}, "param n: No value passed"),
        ({"d": {"value": "x", "schema": {"type": "string", "format": "date"}}}, {}, "param d: 'x' is not a 'date'"),
        ({"n": {"value": 1, "schema": {"type": "nonsense"}}}, {}, "param n: its schema cannot be applied"),
        ({"n": {"value": 1, "schema": {"$ref": "http://localhost:1/x"}}}, {}, "param n: its schema cannot be applied"),
        ({"n": {"value": "a", "schema": {"pattern": "("}}}, {}, "param n: its schema cannot be applied"),
    ],
)
def test_a_conf_that_breaks_a_rule_is_refused_with_the_rule(
    params: dict[str, Any], conf: dict[str, Any], reason: str
) -> None:
    with pytest.raises(HTTPException) as caught:
        check_conf(params, conf)
    assert caught.value.status_code == 400
    assert reason in caught.value.detail
