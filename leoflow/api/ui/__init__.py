"""Airflow 3.2's private UI API under /ui."""
