"""Pydantic models of leoflow.yaml and dag.json, and the canonical form. Imports nothing of Leoflow but errors."""
