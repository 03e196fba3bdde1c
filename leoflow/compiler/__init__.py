"""Turns a project (leoflow.yaml + dag.py) into its canonical dag.json by loading it in the project's interpreter."""
