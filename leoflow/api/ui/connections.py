"""`/ui/connections/hook_meta`: the connection types the form offers.

The control plane imports no provider, so the types are data: the common ones, with the fields their forms show.
"""

from fastapi import APIRouter

from leoflow.api.deps import Operator
from leoflow.api.ui.models import FieldBehaviour, HookMeta, StandardFields

router = APIRouter(prefix="/connections", tags=["Connection"])

_HIDDEN = FieldBehaviour(hidden=True)

# connection type → name in the form, standard fields it hides
_TYPES: dict[str, tuple[str, tuple[str, ...]]] = {
    "generic": ("Generic", ()),
    "aws": ("Amazon Web Services", ("host", "url_schema", "port")),
    "email": ("Email", ()),
    "fs": ("File (path)", ("url_schema", "host", "port", "login", "password")),
    "ftp": ("FTP", ("url_schema",)),
    "google_cloud_platform": ("Google Cloud", ("host", "url_schema", "login", "password", "port")),
    "http": ("HTTP", ()),
    "kubernetes": ("Kubernetes Cluster Connection", ("host", "url_schema", "login", "password", "port")),
    "mongo": ("MongoDB", ()),
    "mssql": ("Microsoft SQL Server", ()),
    "mysql": ("MySQL", ()),
    "oracle": ("Oracle", ()),
    "postgres": ("Postgres", ()),
    "redis": ("Redis", ("url_schema",)),
    "sftp": ("SFTP", ("url_schema",)),
    "slack": ("Slack API", ("login", "port", "host", "url_schema")),
    "smtp": ("SMTP", ("url_schema",)),
    "snowflake": ("Snowflake", ("port", "host")),
    "sqlite": ("Sqlite", ()),
    "ssh": ("SSH", ("url_schema",)),
    "wasb": ("Azure Blob Storage", ("url_schema", "port")),
}


@router.get("/hook_meta")
async def get_hook_meta(_: Operator) -> list[HookMeta]:
    """Return the types; every key is sent, null means the field is shown as usual."""
    return [_meta(kind, name, hidden) for kind, (name, hidden) in _TYPES.items()]


def _meta(kind: str, name: str, hidden: tuple[str, ...]) -> HookMeta:
    fields = StandardFields.model_validate(dict.fromkeys(hidden, _HIDDEN)) if hidden else None
    return HookMeta(
        connection_type=kind,
        hook_class_name=None,
        default_conn_name=None,
        hook_name=name,
        standard_fields=fields,
        extra_fields=None,
    )
