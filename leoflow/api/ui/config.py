"""`GET /ui/config`: loaded before anything else; the UI stays empty without it."""

from fastapi import APIRouter

from leoflow.api.deps import State, Viewer
from leoflow.api.paging import FALLBACK_PAGE_LIMIT
from leoflow.api.ui.models import Config

router = APIRouter(tags=["Config"])


@router.get("/config")
async def get_config(state: State, _: Viewer) -> Config:
    """Return what the UI needs to know about this server."""
    return Config(
        fallback_page_limit=FALLBACK_PAGE_LIMIT,
        auto_refresh_interval=state.settings.auto_refresh_seconds,
        hide_paused_dags_by_default=False,
        instance_name=state.settings.instance_name,
        enable_swagger_ui=True,
        require_confirmation_dag_change=False,
        default_wrap=False,
        test_connection="Disabled",
        dashboard_alert=[],
        show_external_log_redirect=False,
        external_log_name=None,
        theme=None,
        multi_team=False,
    )
