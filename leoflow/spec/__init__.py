"""Pydantic models of leoflow.yaml and dag.json, and the canonical form. Imports nothing of Leoflow but errors
and the rules of what can be stored."""

from leoflow.spec.dag_spec import (
    DagSpec,
    TaskGroupSpec,
    TaskSpec,
    as_json,
    canonical_bytes,
    content_hash,
    content_hash_of,
)
from leoflow.spec.leoflow_yaml import LeoflowYaml, TaskOverlay
from leoflow.spec.yaml_reader import YamlError, nearest, read_leoflow_yaml

__all__ = [
    "DagSpec",
    "LeoflowYaml",
    "TaskGroupSpec",
    "TaskOverlay",
    "TaskSpec",
    "YamlError",
    "as_json",
    "canonical_bytes",
    "content_hash",
    "content_hash_of",
    "nearest",
    "read_leoflow_yaml",
]
