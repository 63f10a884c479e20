"""Packages that only some tasks need: asked for by name before any work."""

from __future__ import annotations

from importlib.util import find_spec

from mubench.errors import UsageError


def need(what: str, *packages: str, extra: str) -> None:
    """UsageError unless the packages can be imported; `extra` is the extra of mubench that holds them."""
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        raise UsageError(
            f"{what} needs the package{'s' * (len(missing) > 1)} {', '.join(missing)}: "
            f"pip install 'mubench[{extra}]'"
        )
