"""Airflow 3.2's public API under /api/v2, one module per resource."""

from fastapi import APIRouter

router = APIRouter(prefix="/api/v2")
