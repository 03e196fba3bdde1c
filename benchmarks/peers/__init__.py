"""Peers measured in the same run, each in its own virtual environment."""
