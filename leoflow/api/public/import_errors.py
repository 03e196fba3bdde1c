"""Files that could not be compiled, and asking for another try."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query
from pydantic import BaseModel

from leoflow.api import file_tokens
from leoflow.api.deps import Conn, Editor, State, Viewer
from leoflow.api.filters import Where
from leoflow.api.paging import Ordering, Paged
from leoflow.api.public import audit, store
from leoflow.api.public.criteria import Small
from leoflow.db import queries

SQL = queries.load("api_dags")
router = APIRouter()
RELATION = "leoflow_core.api_import_errors e"
ORDER = Ordering(
    {
        "id": "e.import_error_id",
        "import_error_id": "e.import_error_id",
        "timestamp": 'e."timestamp"',
        "filename": "e.filename",
        "bundle_name": "e.bundle_name",
        "stacktrace": "e.stack_trace",
    },
    default="id",
    unique="id",
)


class ImportErrorResponse(BaseModel):
    """Why a file could not be compiled."""

    import_error_id: int
    timestamp: datetime
    filename: str
    bundle_name: str | None
    stack_trace: str


class ImportErrorCollectionResponse(BaseModel):
    """Files that could not be compiled."""

    import_errors: list[ImportErrorResponse]
    total_entries: int


@router.get("/importErrors", response_model=ImportErrorCollectionResponse, tags=["Import Error"])
async def get_import_errors(
    conn: Conn,
    _: Viewer,
    page: Paged,
    order_by: Annotated[list[str] | None, Query()] = None,
    filename_pattern: str | None = None,
    filename_prefix_pattern: str | None = None,
) -> Any:
    """List the files that could not be compiled."""
    where = Where()
    where.contains("e.filename", filename_pattern)
    where.starts_with("e.filename", filename_prefix_pattern)
    found, total = await store.listing(conn, RELATION, where, ORDER.parse(order_by), page)
    return {"import_errors": found, "total_entries": total}


@router.get("/importErrors/{import_error_id}", response_model=ImportErrorResponse, tags=["Import Error"])
async def get_import_error(import_error_id: Small, conn: Conn, _: Viewer) -> Any:
    """Get one."""
    found = await store.row(conn, SQL.import_error, {"import_error_id": import_error_id})
    if found is None:
        raise HTTPException(404, f"The ImportError with import_error_id: `{import_error_id}` was not found")
    return found


@router.put("/parseDagFile/{file_token}", status_code=201, tags=["DAG Parsing"])
async def reparse_dag_file(file_token: str, conn: Conn, user: Editor, state: State) -> None:
    """Ask the watcher to compile a file again, though it did not change."""
    place = file_tokens.read(state.signer.secret, file_token)
    files = []
    if place is not None:
        names = {"bundle_name": place[0], "relative_fileloc": place[1]}
        files = await store.rows(conn, SQL.files, names)
    if not files:
        raise HTTPException(404, "File not found")
    async with conn.transaction():
        for file in files:
            await store.execute(conn, SQL.request_parse, file)
        extra = {"files": [file["fileloc"] for file in files], "method": "PUT"}
        await audit.record(conn, user, "reparse_dag_file", extra=extra)
