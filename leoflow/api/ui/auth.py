"""`/ui/auth/*`: the signed-in user, the menus, and tokens to copy."""

from fastapi import APIRouter

from leoflow.api.deps import CurrentUser, State
from leoflow.api.ui.models import Me, MenuItems, TokenAnswer, TokenRequest

router = APIRouter(prefix="/auth", tags=["Auth Links"])

MENU_ITEMS = (
    "Required Actions",
    "Assets",
    "Audit Log",
    "Config",
    "Connections",
    "Dags",
    "Docs",
    "Jobs",
    "Plugins",
    "Pools",
    "Providers",
    "Variables",
    "XComs",
)


@router.get("/menus")
async def get_menus(_: CurrentUser) -> MenuItems:
    """Return all menus, as Airflow's simple auth manager does for everybody."""
    return MenuItems(authorized_menu_items=list(MENU_ITEMS), extra_menu_items=[])


@router.get("/me")
async def get_me(user: CurrentUser) -> Me:
    """Return the signed-in user."""
    return Me(id=user.name, username=user.name)


@router.post("/token")
async def generate_token(body: TokenRequest, user: CurrentUser, state: State) -> TokenAnswer:
    """Make a token for use outside the browser."""
    settings = state.settings
    seconds = settings.cli_token_seconds if body.token_type == "cli" else settings.token_seconds
    token = state.signer.issue(user.name, user.role.name.lower(), seconds)
    return TokenAnswer(access_token=token, token_type=body.token_type, expires_in_seconds=seconds)
