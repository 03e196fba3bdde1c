"""Airflow's REST API, its UI's private API, and the UI's files."""
