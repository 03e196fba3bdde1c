"""What a reducer gets of its inputs: every caller its own value."""

from leoflow.runtime.reduce_inputs import ReduceInputs


def answer(**values: bytes) -> dict[str, object]:
    return {
        "task_ids": "\n".join(values),
        "lengths": ",".join(str(len(value)) for value in values.values()),
        "document": b",".join(values.values()),
    }


def test_values_come_by_task_id_from_several_answers() -> None:
    inputs = ReduceInputs()
    inputs.add(answer(a=b'{"x": [1, 2]}', b=b"null", c='"ü,\\n"'.encode()))
    inputs.add(answer(d=b"NaN", e=b"18446744073709551617"))
    inputs.add({})
    assert [name in inputs for name in "abcdef"] == [True] * 5 + [False]
    assert (inputs.value_of("a"), inputs.value_of("b"), inputs.value_of("c")) == ({"x": [1, 2]}, None, "ü,\n")
    assert inputs.value_of("d") != inputs.value_of("d") and inputs.value_of("e") == 2**64 + 1


def test_a_value_asked_for_again_is_another_object() -> None:
    inputs = ReduceInputs()
    inputs.add(answer(a=b"1", b=b'["first"]', c=b"3"))
    first = inputs.value_of("b")
    first.append("changed")
    assert inputs.value_of("b") == inputs.value_of("b") == ["first"]
