"""What an Airflow installation would list about itself: providers, plugins, configuration.

The control plane has no providers and no plugins: both live in the projects' environments.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Header, HTTPException
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel

from leoflow.api.deps import Operator, State, Viewer
from leoflow.api.paging import FALLBACK_PAGE_LIMIT, MAXIMUM_PAGE_LIMIT, Paged

router = APIRouter()


class ProviderCollectionResponse(BaseModel):
    """Provider packages."""

    providers: list[dict[str, str | None]]
    total_entries: int


class PluginCollectionResponse(BaseModel):
    """Plugins."""

    plugins: list[dict[str, Any]]
    total_entries: int


class PluginImportErrorCollectionResponse(BaseModel):
    """Plugins that could not be loaded."""

    import_errors: list[dict[str, str]]
    total_entries: int


class ConfigOption(BaseModel):
    """A setting."""

    key: str
    value: str


class ConfigSection(BaseModel):
    """A group of settings."""

    name: str
    options: list[ConfigOption]


class Config(BaseModel):
    """Settings."""

    sections: list[ConfigSection]


@router.get("/providers", response_model=ProviderCollectionResponse, tags=["Provider"])
async def get_providers(_: Viewer, page: Paged) -> Any:
    """List provider packages of this process: none."""
    return {"providers": [], "total_entries": 0}


@router.get("/plugins", response_model=PluginCollectionResponse, tags=["Plugin"])
async def get_plugins(_: Viewer, page: Paged) -> Any:
    """List plugins of this process: none."""
    return {"plugins": [], "total_entries": 0}


@router.get("/plugins/importErrors", response_model=PluginImportErrorCollectionResponse, tags=["Plugin"])
async def import_errors(_: Viewer) -> Any:
    """List plugins that could not be loaded: none."""
    return {"import_errors": [], "total_entries": 0}


@router.get("/config", response_model=Config, tags=["Config"])
async def get_config(
    state: State, _: Operator, section: str | None = None, accept: Annotated[str, Header()] = "*/*"
) -> Any:
    """List the settings that Airflow's clients ask for; none of them is a secret."""
    sections = _sections(state)
    if section is not None:
        if section not in sections:
            raise HTTPException(404, f"Section {section} not found.")
        sections = {section: sections[section]}
    return _answer(sections, accept)


@router.get("/config/section/{section}/option/{option}", response_model=Config, tags=["Config"])
async def get_config_value(
    section: str, option: str, state: State, _: Operator, accept: Annotated[str, Header()] = "*/*"
) -> Any:
    """Get one setting."""
    value = _sections(state).get(section, {}).get(option)
    if value is None:
        raise HTTPException(404, f"Option [{section}/{option}] not found.")
    return _answer({section: {option: value}}, accept)


def _sections(state: State) -> dict[str, dict[str, str]]:
    settings = state.settings
    return {
        "api": {
            "fallback_page_limit": str(FALLBACK_PAGE_LIMIT),
            "host": settings.host,
            "instance_name": settings.instance_name,
            "maximum_page_limit": str(MAXIMUM_PAGE_LIMIT),
        },
        "core": {
            "auth_manager": "leoflow",
            "executor": "leoflow",
            "load_examples": "False",
            "test_connection": "Disabled",
        },
        "leoflow": {"home": str(settings.home), "lite": str(settings.lite)},
    }


def _answer(sections: dict[str, dict[str, str]], accept: str) -> Any:
    if accept.partition(";")[0].strip() == "text/plain":
        blocks = (
            "\n".join([f"[{name}]", *(f"{key} = {value}" for key, value in options.items())])
            for name, options in sections.items()
        )
        return PlainTextResponse("\n\n".join(blocks) + "\n")
    return {
        "sections": [
            {"name": name, "options": [{"key": key, "value": value} for key, value in options.items()]}
            for name, options in sections.items()
        ]
    }
