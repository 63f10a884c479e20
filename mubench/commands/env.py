"""usage: mubench env

Versions, device and threads: what a bug report needs.
"""

from __future__ import annotations

from collections.abc import Sequence

from mubench.commands import arguments
from mubench.errors import UsageError


def main(argv: Sequence[str]) -> int:
    """Print one fact a line."""
    if words := arguments.read(argv, {}).words:
        raise UsageError(f"env takes no arguments, not '{words[0]}'")
    from mubench.engine import Engine
    from mubench.environment import versions
    from mubench.schema import Trainer

    for name, value in {**versions(), **Engine(Trainer()).describe()}.items():
        print(f"{name:14} {value or '-'}")
    return 0
