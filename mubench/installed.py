"""What changes with mubench's code and the packages installed: things worked out are kept under it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

METRICS = "mubench.metrics"  # the group of entry points that brings them
PACKAGE = Path(__file__).parent


def identity(files: Iterable[str] = ()) -> list[str]:
    """Python, where it looks for modules, and how mubench's sources, all packages and these files look."""
    packages = [folder for folder in sys.path if folder.endswith("-packages") and Path(folder).is_dir()]
    seen = (*files_below(PACKAGE, ".py"), *_brought(), *files, *packages)
    return [sys.version, *sys.path, *map(_stamp, seen)]


def _brought() -> Iterator[str]:
    """The sources of other packages' metrics: where they are edited in place no package folder changes."""
    for point in entry_points(group=METRICS):
        with suppress(ImportError):
            spec = find_spec(point.module)
            yield from [spec.origin] if spec is not None and spec.origin else []


def files_below(folder: Path, ending: str) -> Iterator[str]:
    """The paths of files below a folder, in a stable order."""
    for at, below, names in os.walk(folder):
        below.sort()
        yield from (f"{at}/{name}" for name in sorted(names) if name.endswith(ending))


def _stamp(path: str) -> str:
    seen = os.stat(path)  # noqa: PTH116
    return f"{path} {seen.st_size} {seen.st_mtime_ns}"
