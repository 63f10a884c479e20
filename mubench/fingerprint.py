"""Short names for contents, wherever they lie."""

from __future__ import annotations

import hashlib
from pathlib import Path


def folder_hash(source: str | Path, edge: int = 65536) -> str:
    """16 hexadecimal digits that name a file's or folder's contents without reading large files whole."""
    root = Path(source)
    files = [root] if root.is_file() else sorted(p for p in root.rglob("*") if p.is_file())
    digest = hashlib.sha256()
    for path in files:
        size = path.stat().st_size
        digest.update(f"{path.relative_to(root).as_posix()} {size}\n".encode())
        with path.open("rb") as stream:
            digest.update(stream.read(edge))
            stream.seek(max(0, size - edge))
            digest.update(stream.read(edge))
    return digest.hexdigest()[:16]
