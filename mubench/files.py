"""Files that are whole or absent: atomic writes, and folders sealed by a record written last."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from mubench.errors import RunFailed, UsageError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ENOENT}


class Corrupt(Exception):
    """A file that is there but not whole; the message names it and says what is wrong."""


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns a full disk or a folder that refuses writing into one clear sentence."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL | _REFUSED:
            raise
        reason = os.strerror(error.errno).lower()
        raise RunFailed(f"cannot write to {path}: {reason} (out=PATH moves the outputs)") from error


def check_outputs(out: Path) -> None:
    """UsageError unless runs can be written below `out`, which need not be there yet."""
    whole = out.absolute()
    there = next(folder for folder in (whole, *whole.parents) if os.path.exists(folder))  # noqa: PTH110
    if not there.is_dir():
        raise UsageError(f"out={out}: {there} is not a folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise UsageError(f"out={out}: {there} refuses writing")


@contextmanager
def locked(path: Path, waiting: Callable[[], object]) -> Iterator[None]:
    """Hold a lock file; if another process holds it, call `waiting` and wait."""
    with writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            waiting()
            lock.acquire()
    try:
        yield
    finally:
        lock.release()


def held(lock: Path) -> bool:
    """Whether a living process holds a lock file."""
    if not lock.exists():
        return False
    try:
        with FileLock(lock, blocking=False):
            return False
    except Timeout:
        return True


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary neighbour, flush it to the disk, and rename it to `path`."""
    with writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.close(handle)
        temporary = Path(name)
        try:
            _fill(temporary, write)
            _flush(temporary)
            temporary.chmod(0o644)
            temporary.replace(path)
            _flush(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


def _fill(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` write; a full disk that a library hides behind an error of its own becomes OSError."""
    try:
        write(path)
    except OSError:
        raise
    except Exception as error:
        if "No space left" in str(error) or shutil.disk_usage(path.parent).free < 2**16:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
        raise


def clear_leftovers(folder: Path) -> None:
    """Remove the temporary files of writers that were killed; the caller holds the folder's lock."""
    for path in folder.glob(".*.*"):
        path.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_json(path: Path, content: Any) -> None:
    """Write JSON atomically; NaN and infinity are refused, they are not JSON."""
    write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; Corrupt where the file holds anything else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, UnicodeDecodeError) as error:
        raise Corrupt(f"{path} is not whole ({error})") from error
    if not isinstance(content, dict):
        raise Corrupt(f"{path} is not a JSON object")
    return content


def sha256_of_file(path: Path) -> str:
    """The hash of a file's bytes, read in pieces."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def hashes_of(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """The hash of each named file."""
    return {name: sha256_of_file(folder / name) for name in names}


def seal(folder: Path, names: list[str], content: dict[str, Any]) -> None:
    """Write `record.json` last: the content, and the hash of each named file."""
    write_json(folder / "record.json", {**content, "files": hashes_of(folder, names)})


def unseal(folder: Path, needed: Iterable[str] = ()) -> dict[str, Any] | None:
    """The content of a sealed folder, None if there is none; Corrupt names what is missing or changed."""
    path = folder / "record.json"
    if not path.is_file():
        return None
    content = read_json(path)
    if missing := [name for name in (*needed, "files") if name not in content]:
        raise Corrupt(f"{path} lacks {', '.join(missing)}")
    verify(folder, content["files"])
    return content


def verify(folder: Path, hashes: Mapping[str, str]) -> None:
    """Corrupt unless each named file is there with its hash."""
    for name, expected in hashes.items():
        path = folder / name
        if not path.is_file():
            raise Corrupt(f"{path} is missing")
        if sha256_of_file(path) != expected:
            raise Corrupt(f"{path} is not what was written (its hash differs)")
