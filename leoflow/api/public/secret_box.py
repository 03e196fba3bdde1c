"""The home's secret box as a route's dependency."""

from typing import Annotated

from fastapi import Depends, Request

from leoflow.api.deps import State
from leoflow.crypto import SecretBox


def secret_box(request: Request, state: State) -> SecretBox:
    """FastAPI dependency: the keys are read once per application."""
    box: SecretBox | None = getattr(request.app.state, "secret_box", None)
    if box is None:
        box = request.app.state.secret_box = SecretBox.load_or_create(state.settings.home)
    return box


Secrets = Annotated[SecretBox, Depends(secret_box)]
