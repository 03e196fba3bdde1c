"""The interpreters user code runs in: built with uv, cached by content, shared between equal projects."""

from leoflow.environments.build import ensure
from leoflow.environments.spec import DEFAULT_ENVIRONMENT, Environment, EnvironmentSpec
from leoflow.environments.uv import Progress

__all__ = ["DEFAULT_ENVIRONMENT", "Environment", "EnvironmentSpec", "Progress", "ensure"]
