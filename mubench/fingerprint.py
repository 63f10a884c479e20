"""Short names for contents, wherever they lie."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

EDGE = 65536  # bytes read at either end of a file
MANY = 5000  # files above which names and sizes have to do


def folder_hash(source: str | Path) -> str:
    """16 hexadecimal digits that name a file's or folder's contents without reading large files whole.

    Of each file: its name, size, first and last bytes; of more than 5,000 files names and sizes only.
    """
    root = Path(source)
    files = [root] if root.is_file() else sorted(p for p in root.rglob("*") if p.is_file())
    stats = [path.stat() for path in files]
    seen = tuple((str(p), s.st_size, s.st_mtime_ns) for p, s in zip(files, stats, strict=True))
    return _hash(root, seen)


@lru_cache(maxsize=64)
def _hash(root: Path, seen: tuple[tuple[str, int, int], ...]) -> str:
    """The hash of files as they were seen: once in this process while they stay the same."""
    digest = hashlib.sha256()
    for name, size, _ in seen:
        digest.update(f"{Path(name).relative_to(root).as_posix()} {size}\n".encode())
        if len(seen) <= MANY:
            with Path(name).open("rb") as stream:
                digest.update(stream.read(EDGE))
                stream.seek(max(0, size - EDGE))
                digest.update(stream.read(EDGE))
    return digest.hexdigest()[:16]
