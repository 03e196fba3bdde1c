"""Values that tasks push and others take, for `tests/truth/record_xcoms.py`. Run by Airflow and by Leoflow."""

import datetime as dt
import enum
import uuid
from collections import namedtuple
from dataclasses import dataclass
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Any
from zoneinfo import ZoneInfo

import pendulum
from airflow.sdk import DAG, Asset, task

MOMENT = dt.datetime(2026, 1, 2, 3, 4, 5, 6)
Pair = namedtuple("Pair", "a b")


@dataclass
class Point:
    x: int
    y: Any


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Name(str):
    pass


class Unknown:
    def __init__(self) -> None:
        self.a = 1


class Frame:
    """Looks like a data frame, as far as anyone who does not know it can tell."""

    def __init__(self) -> None:
        self.columns = ["a"]

    def to_dict(self) -> dict[str, Any]:
        return {"a": [1]}

    def __len__(self) -> int:
        return 1


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


VALUES: dict[str, Any] = {
    "nan": float("nan"),
    "infinity": float("inf"),
    "minus_infinity": float("-inf"),
    "nan_inside": {"loss": [1.5, float("nan")]},
    "minus_zero": -0.0,
    "tiny_float": 5e-324,
    "largest_float": 1.7976931348623157e308,
    "text_nan": "NaN",
    "nul": "a\x00b",
    "nul_key": {"a\x00b": 1},
    "surrogate": "a\ud800b",
    "surrogate_key": {"\udfff": 1},
    "emoji": "\N{GRINNING FACE} \u2028",
    "control": "\x01\x1f\x7f",
    "int63": 2**63 - 1,
    "int64": 2**63,
    "int65": 2**64,
    "minus_int64": -(2**63) - 1,
    "int_inside": [2**70],
    "huge_int": 10**40,
    "bool": True,
    "none": None,
    "empty_text": "",
    "utc": MOMENT.replace(tzinfo=dt.UTC),
    "zone": MOMENT.replace(tzinfo=ZoneInfo("Europe/Zurich")),
    "offset": MOMENT.replace(tzinfo=dt.timezone(dt.timedelta(hours=5, minutes=30))),
    "naive": MOMENT,
    "pendulum": pendulum.datetime(2026, 1, 2, tz="Europe/Zurich"),
    "date": MOMENT.date(),
    "time": MOMENT.time(),
    "timedelta": dt.timedelta(days=1, microseconds=5),
    "timezone": dt.UTC,
    "tuple": (1, ("b", None)),
    "empty_tuple": (),
    "set": {1},
    "frozenset": frozenset(["a"]),
    "empty_set": set(),
    "set_of_tuples": {(1, 2)},
    "bytes": b"a\xff",
    "bytearray": bytearray(b"a"),
    "complex": 1 + 2j,
    "decimal": Decimal("1.10"),
    "decimal_nan": Decimal("NaN"),
    "uuid": uuid.UUID(int=1),
    "enum": Colour.RED,
    "int_enum": Level.HIGH,
    "path": PurePosixPath("/a/b"),
    "str_subclass": Name("n"),
    "int_keys": {1: "one", 2: "two"},
    "mixed_keys": {1: "int", "1": "text"},
    "bool_key": {True: 1},
    "none_key": {None: 1},
    "float_key": {1.5: 1},
    "tuple_key": {(1, 2): 3},
    "reserved_key": {"__classname__": "builtins.tuple", "__version__": 1, "__data__": [1]},
    "reserved_word": {"__type": "x", "__var": 1},
    "namedtuple": Pair(1, "b"),
    "dataclass": Point(1, (2,)),
    "asset": Asset("readings", "file:///readings"),
    "unknown": Unknown(),
    "frame": Frame(),
    "class": Unknown,
    "function": nested,
    "range": range(3),
    "exception": ValueError("no"),
    "ellipsis": ...,
    "deep_20": nested(20),
    "deep_200": nested(200),
    "list_of_all": [1, "a", None, True, 0.5, {"k": (1, {2})}],
}

with DAG("xcoms", schedule=None, start_date=dt.datetime(2026, 1, 1), max_active_tasks=4) as dag:

    @task
    def push(name: str) -> Any:
        return VALUES[name]

    @task
    def take(value: Any) -> str:
        return f"{type(value).__name__}: {value!r}"

    for _name in VALUES:
        take.override(task_id=f"take_{_name}")(push.override(task_id=f"push_{_name}")(_name))
