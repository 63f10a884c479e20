"""Methods as their yamls declare them, and their settings as runs on digits compose them."""

from __future__ import annotations

from functools import cache
from typing import Any

from omegaconf import OmegaConf

from mubench import catalog
from mubench.config import RunConfig
from mubench.methods.base import Method
from mubench.plan import Planner
from mubench.typed import component

DIRS = catalog.config_dirs()
METHODS = catalog.names("method", DIRS)


@cache
def declared(name: str) -> Method:
    """By the yaml alone, to be asked for its class facts: fast enough for collecting tests."""
    loaded: Any = OmegaConf.to_container(OmegaConf.load(catalog.path_of("method", name, DIRS)))
    method: Method = component(loaded.get("method", loaded), "method")
    return method


@cache
def _cells() -> dict[str, RunConfig]:
    """A run of each method, composed in one go."""
    cells = Planner(DIRS).cells([f"method={','.join(METHODS)}"], multirun=True)
    return {cell.key["method"]: cell for cell in cells}


def node(name: str) -> Any:
    """A method's settings, by its yaml and its recipe for pictures."""
    return _cells()[name].resolved["method"]
