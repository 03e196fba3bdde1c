"""The HTML pages: the Airflow UI for every path of its router, its login page, and our marks on them.

The UI's files are Airflow's own, unchanged. Its `index.html` is a template with one variable, the base path;
what we add to it is a stylesheet and a script of ours.
"""

from dataclasses import dataclass
from html import escape
from pathlib import Path

import psycopg
from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from psycopg_pool import PoolTimeout

from leoflow import AIRFLOW_VERSION, __version__
from leoflow.api.auth.session import is_signed_in, sign_in_locally
from leoflow.api.deps import ApiState
from leoflow.api.settings import ApiSettings
from leoflow.api.static import CompressedFiles
from leoflow.share import share_dir

_BASE = "{{ backend_server_base_url }}"


@dataclass(frozen=True, slots=True)
class Page:
    """An HTML template with the base path open."""

    template: str

    def render(self, request: Request) -> HTMLResponse:
        """Fill in the path the server is reached under."""
        base = escape(f"{request.scope.get('root_path', '')}/", quote=True)
        return HTMLResponse(self.template.replace(_BASE, base), headers={"Cache-Control": "no-cache"})


def install(app: FastAPI, state: ApiState) -> None:
    """Mount the files and add the routes; comes after all others, since it takes every path that is left."""
    directory = state.settings.ui_directory
    app.mount("/static/leoflow", CompressedFiles(directory=share_dir("web") / "static"))
    if directory is not None:
        app.mount("/static", CompressedFiles(directory=directory / "app"))
        app.mount("/auth/static", CompressedFiles(directory=directory / "login"))
    app.include_router(_not_found())
    if directory is not None:
        app.include_router(_html(directory, state))


def _not_found() -> APIRouter:
    """The texts of Airflow for addresses that are not there."""
    router = APIRouter(include_in_schema=False)
    methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]

    async def old_api() -> Response:
        text = "/api/v1 has been removed in Airflow 3, please use its upgraded version /api/v2 instead."
        return JSONResponse({"error": text}, 404)

    async def old_health() -> Response:
        text = "Moved in Airflow 3. Please change config to check `/api/v2/monitor/health`"
        return JSONResponse({"error": text}, 404)

    async def unknown() -> Response:
        return JSONResponse({"error": "API route not found"}, 404)

    async def no_page() -> Response:
        return JSONResponse({"detail": "Not Found"}, 404)

    router.add_api_route("/api/v1/{rest:path}", old_api, methods=methods)
    router.add_api_route("/health", old_health, methods=["GET"])
    router.add_api_route("/api/{rest:path}", unknown, methods=methods)
    for prefix in ("/ui", "/execution", "/static"):
        router.add_api_route(prefix + "/{rest:path}", no_page, methods=methods)
    return router


def _html(directory: Path, state: ApiState) -> APIRouter:
    router = APIRouter(include_in_schema=False)
    app_page = Page(_marked((directory / "app" / "index.html").read_text(), state.settings))
    login_page = Page(_marked((directory / "login" / "index.html").read_text(), state.settings))

    async def login(request: Request) -> Response:
        return login_page.render(request)

    async def app(request: Request) -> Response:
        response = app_page.render(request)
        if state.settings.signs_in_locally:
            await _sign_in(request, response, state)
        return response

    router.add_api_route("/auth/{rest:path}", login, methods=["GET", "HEAD"])
    router.add_api_route("/{rest:path}", app, methods=["GET", "HEAD"])
    return router


async def _sign_in(request: Request, response: Response, state: ApiState) -> None:
    """Sign the local browser in; the page is still served when the database cannot be asked."""
    try:
        async with state.pool.connection() as conn:
            if not await is_signed_in(request, state, conn):
                await sign_in_locally(response, state, conn)
    except (psycopg.OperationalError, PoolTimeout):
        return


def _marked(html: str, settings: ApiSettings) -> str:
    """Add our script, and what it tells, to a page of Airflow's; Lite only."""
    if not settings.lite:
        return html
    facts = {"version": __version__, "airflow": AIRFLOW_VERSION}
    if settings.signs_in_locally:
        facts["home"] = str(settings.home)  # the page is public: a path of the machine is for its user alone
    data = "".join(f' data-{name}="{escape(value, quote=True)}"' for name, value in facts.items())
    tag = f'<script type="module" src="./static/leoflow/lite-badge.js?v={escape(__version__)}"{data}></script>'
    return html.replace("</head>", f"  {tag}\n  </head>", 1)
