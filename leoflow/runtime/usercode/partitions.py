"""Maps a partition key with mappers of which some are the project's own."""

from collections.abc import Iterable
from typing import Any

from leoflow.runtime.loading.failures import Failure

MOST_KEYS = 1000
LONGEST_KEY = 250


def map_key(timetable: Any, asset_name: str, key: str) -> "list[str]":
    """Return the keys of the runs that an event of an asset belongs to.

    Raises:
        Failure: the mapper's answer is no key.
    """
    mapper = timetable.default_partition_mapper
    for asset, given in timetable.partition_mapper_config.items():
        if asset_name in _names(asset):
            mapper = given
    answer = _runnable(mapper).to_downstream(key)
    where = f"{type(mapper).__name__}.to_downstream()"
    if not isinstance(answer, str) and not isinstance(answer, Iterable):
        raise _nonsense(where, f"gives {answer!r:.100}")
    keys = [answer] if isinstance(answer, str) else list(answer)
    if len(keys) > MOST_KEYS:
        raise _nonsense(where, f"gives {len(keys)} keys; at most {MOST_KEYS} are taken")
    for each in keys:
        if not isinstance(each, str) or not 0 < len(each) <= LONGEST_KEY:
            raise _nonsense(where, f"gives {each!r:.100}; a key is text of 1 to {LONGEST_KEY} characters")
    return list(dict.fromkeys(keys))


def _names(asset: Any) -> "list[str]":
    if hasattr(asset, "objects"):
        return [name for each in asset.objects for name in _names(each)]
    name = getattr(asset, "name", None)
    return [name] if isinstance(name, str) and type(asset).__name__ != "AssetAlias" else []


def _runnable(mapper: Any) -> Any:
    """Return a mapper that can map: the SDK's only describe, Airflow's core has the same with the code."""
    if hasattr(mapper, "to_downstream"):
        return mapper
    from airflow.partition_mappers.chain import ChainMapper
    from airflow.partition_mappers.product import ProductMapper
    from airflow.serialization.decoders import decode_partition_mapper
    from airflow.serialization.encoders import encode_partition_mapper

    if type(mapper).__name__ == "ChainMapper":
        return ChainMapper(*(_runnable(each) for each in mapper.mappers))
    if type(mapper).__name__ == "ProductMapper":
        return ProductMapper(*(_runnable(each) for each in mapper.mappers), delimiter=mapper.delimiter)
    return decode_partition_mapper(encode_partition_mapper(mapper))


def _nonsense(where: str, what: str) -> Failure:
    return Failure(f"{where} {what}", rule="partition-mapper", hint="Correct the mapper; see docs/assets.md.")
