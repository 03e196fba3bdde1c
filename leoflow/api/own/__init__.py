"""Leoflow's own additions under /api/v2/leoflow: registering compiled DAGs, the dates of backfills.

May import what api.public may.
"""

from fastapi import APIRouter

from leoflow.api.own import backfills, versions

router = APIRouter(prefix="/api/v2/leoflow", tags=["Leoflow"])
for module in (backfills, versions):
    router.include_router(module.router)
