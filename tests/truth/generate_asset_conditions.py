"""Ask Airflow 3.2.2 when an asset condition is met: expressions by sets of assets with queued events.

Run in an environment of its own with `apache-airflow==3.2.2`; the tables are made in memory, the output is committed:

    python tests/truth/generate_asset_conditions.py tests/truth/asset_conditions.json
"""

import itertools
import json
import sys
from pathlib import Path
from typing import Any

NAMES = ("a", "b", "c", "inactive")
RESOLVED = ("b", "inactive")
"""What the alias `resolved` was resolved to."""


def asset(name: str) -> dict[str, Any]:
    """An asset as dag.json has it."""
    return {"type": "asset", "name": name, "uri": f"s3://{name}", "group": "asset", "extra": {}}


A, B, C, INACTIVE = map(asset, NAMES)
ALIAS = {"type": "alias", "name": "resolved", "group": "asset"}
UNRESOLVED = {"type": "alias", "name": "unresolved", "group": "asset"}
NAME_REF, URI_REF = {"type": "name_ref", "name": "a"}, {"type": "uri_ref", "uri": "s3://a"}
DEAD_NAME, DEAD_URI = {"type": "name_ref", "name": "inactive"}, {"type": "uri_ref", "uri": "s3://inactive"}


def _all(*objects: dict[str, Any]) -> dict[str, Any]:
    return {"type": "all", "objects": list(objects)}


def _any(*objects: dict[str, Any]) -> dict[str, Any]:
    return {"type": "any", "objects": list(objects)}


EXPRESSIONS = [
    *(A, INACTIVE, ALIAS, UNRESOLVED, NAME_REF, URI_REF, DEAD_NAME, DEAD_URI),
    *(_all(A), _all(A, B), _any(A, B), _all(A, A), _all(), _any()),
    *(_any(A, _all(B, C)), _all(_any(A, B), C), _all(_any(A, B), _any(B, C)), _any(_all(A, _any(B, C)), INACTIVE)),
    *(_all(ALIAS, A), _any(UNRESOLVED, C), _all(NAME_REF, B), _any(DEAD_NAME, ALIAS), _all(URI_REF, ALIAS)),
]


def main() -> None:
    """Ask Airflow and write the answers."""
    import airflow.models
    from airflow.assets.evaluation import AssetEvaluator
    from airflow.models.asset import AssetActive, AssetAliasModel, AssetModel
    from airflow.models.base import Base
    from airflow.serialization.definitions.assets import SerializedAssetUniqueKey
    from sqlalchemy import create_engine
    from sqlalchemy.orm import Session

    airflow.models.import_all_models()
    engine = create_engine("sqlite://")
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        models = {name: AssetModel(name=name, uri=f"s3://{name}", group="asset", extra={}) for name in NAMES}
        session.add_all([*models.values(), *(AssetActive(name=n, uri=f"s3://{n}") for n in NAMES if n != "inactive")])
        session.add(AssetAliasModel(name="resolved", group="asset", assets=[models[name] for name in RESOLVED]))
        session.add(AssetAliasModel(name="unresolved", group="asset"))
        session.flush()
        evaluator = AssetEvaluator(session)
        cases = []
        for expression in EXPRESSIONS:
            for changed in _subsets(NAMES):
                statuses = {SerializedAssetUniqueKey(name, f"s3://{name}"): True for name in changed}
                met = bool(evaluator.run(_airflow(expression), statuses))
                cases.append({"expression": expression, "changed": changed, "met": met})
    assets = [{"name": name, "uri": f"s3://{name}", "is_active": name != "inactive"} for name in NAMES]
    lines = ",\n".join(json.dumps(case) for case in cases)
    head = f'"assets": {json.dumps(assets)},\n"resolved": {json.dumps(RESOLVED)}'
    Path(sys.argv[1]).write_text(f'{{{head},\n"cases": [\n{lines}\n]}}\n')


def _subsets(names: tuple[str, ...]) -> list[list[str]]:
    return [list(each) for size in range(len(names) + 1) for each in itertools.combinations(names, size)]


def _airflow(expression: dict[str, Any]) -> Any:
    from airflow.serialization.definitions import assets

    match expression["type"]:
        case "asset":
            return assets.SerializedAsset(expression["name"], expression["uri"], "asset", {}, [])
        case "alias":
            return assets.SerializedAssetAlias(expression["name"], "asset")
        case "name_ref":
            return assets.SerializedAssetNameRef(expression["name"])
        case "uri_ref":
            return assets.SerializedAssetUriRef(expression["uri"])
        case kind:
            gate = assets.SerializedAssetAll if kind == "all" else assets.SerializedAssetAny
            return gate([_airflow(each) for each in expression["objects"]])


if __name__ == "__main__":
    main()
