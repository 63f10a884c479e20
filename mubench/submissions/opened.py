"""The zip of strangers: read member by member within limits; nothing of it is unpacked to where it says."""

from __future__ import annotations

import hashlib
import re
import stat
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from mubench.submissions import bundle
from mubench.submissions.bundle import MANIFEST, Manifest
from mubench.submissions.strict import Refused, parse, shown

FILE = 64 * 2**20  # bytes of a zip
MEMBER = 4 * 2**20  # bytes of a member, unpacked
MANIFEST_SIZE = 8 * 2**20
TOTAL = 256 * 2**20  # bytes of all members, unpacked
MEMBERS = 20_001  # of 10,000 runs, and the manifest
RATIO = 100  # how often a member may be as large as it is packed
_INSIDE = re.compile(r"runs/[0-9a-f]{64}/(?:record|curves)\.json")
_END = struct.Struct("<4s4H2LH")  # the end of a zip's directory
_DEVICE = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\.|$)", re.IGNORECASE)


@dataclass(frozen=True)
class Submission:
    """A submission's runs, each by its fingerprint: its files, or why it is not taken."""

    manifest: Manifest
    digest: str  # SHA-256 of the manifest, which names the hash of everything else
    runs: Mapping[str, dict[str, bytes] | Refused]
    strange: Mapping[str, Refused]  # members that belong to no run, by their printable names

    @property
    def name(self) -> str:
        """Short for the digest, as folders are called."""
        return self.digest[:8]


def read(path: Path) -> Submission:
    """All of a submission that is as it says; Refused if the whole cannot be trusted."""
    try:
        with path.open("rb") as stream:
            _check_directory(stream)
            with zipfile.ZipFile(stream) as archive:
                return _read(archive)
    except (
        zipfile.BadZipFile,
        OSError,
        NotImplementedError,
        EOFError,
        UnicodeDecodeError,
        zlib.error,
    ) as error:
        raise Refused(f"it is no zip that can be read ({shown(error)})") from error


def _check_directory(stream: BinaryIO) -> None:
    """The zip's size and how many members it claims, before a library reads them all."""
    size = stream.seek(0, 2)
    if size > FILE:
        raise Refused(f"the zip has {size:,} bytes, more than {FILE:,}")
    if size < _END.size:
        raise Refused("it is no zip")
    stream.seek(size - _END.size)
    mark, _, _, _, count, length, _, comment = _END.unpack(stream.read(_END.size))
    if mark != b"PK\5\6" or comment:
        raise Refused("it is no zip as mubench export writes them")
    stream.seek(max(0, size - _END.size - 20))
    if stream.read(4) == b"PK\6\7" or count > MEMBERS or length > MEMBERS * 256:
        raise Refused(f"the zip has more than {MEMBERS:,} members")


def _read(archive: zipfile.ZipFile) -> Submission:
    infos = archive.infolist()
    if sum(info.file_size for info in infos) > TOTAL:
        raise Refused(f"its members unpack to more than {TOTAL:,} bytes")
    counted = Counter(info.orig_filename for info in infos)
    if counted[MANIFEST] != 1:
        raise Refused(f"it has {counted[MANIFEST]} members called {MANIFEST}, not one")
    first = next(info for info in infos if info.orig_filename == MANIFEST)
    text = _member(archive, first, MANIFEST_SIZE)
    manifest = bundle.manifest(parse(text))
    found: dict[str, dict[str, bytes] | Refused] = {run: {} for run in sorted(_runs(manifest))}
    strange = dict(_strange(manifest, counted))
    for info in infos:
        if _INSIDE.fullmatch(info.orig_filename):
            _take(archive, info, manifest, found, counted)
    for run, files in found.items():
        found[run] = files if isinstance(files, Refused) else _complete(run, files, manifest)
    return Submission(manifest, hashlib.sha256(text).hexdigest(), found, strange)


def _runs(manifest: Manifest) -> set[str]:
    return {name.split("/")[1] for name in manifest.files if _INSIDE.fullmatch(name)}


def _strange(manifest: Manifest, counted: Mapping[str, int]) -> Iterator[tuple[str, Refused]]:
    """Members and entries of the manifest whose names are no run's file."""
    for name in sorted({*counted, *manifest.files} - {MANIFEST}):
        if not _INSIDE.fullmatch(name):
            yield shown(name), Refused(_why(name))
        elif name not in manifest.files:
            yield shown(name), Refused("the manifest does not name it")


def _why(name: str) -> str:
    """What is wrong with a member's name: such a member is never read."""
    parts = re.split(r"[/\\]", name)
    if "\\" in name:
        return "its name has backslashes"
    if ".." in parts:
        return "its name leads out of the folder"
    if name.startswith("/") or re.match(r"[A-Za-z]:", name):
        return "its name is an absolute path"
    if any(_DEVICE.match(part) for part in parts):
        return "its name is a device's"
    return "a submission holds manifest.json, runs/<fingerprint>/record.json and curves.json, nothing else"


def _take(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, manifest: Manifest,
    found: dict[str, dict[str, bytes] | Refused], counted: Mapping[str, int],
) -> None:  # fmt: skip
    """Read a member into its run's files; the run is refused if the member is not as it says."""
    _, run, file = info.orig_filename.split("/")
    files = found.get(run)
    if info.orig_filename not in manifest.files or not isinstance(files, dict):
        return
    try:
        if counted[info.orig_filename] > 1:
            raise Refused(f"it has {file} more than once")
        content = _member(archive, info, MEMBER)
        if hashlib.sha256(content).hexdigest() != manifest.files[info.orig_filename]:
            raise Refused(f"{file} is not what the manifest says (its hash differs)")
        files[file] = content
    except Refused as error:
        found[run] = error


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, most: int) -> bytes:
    """The bytes of a member; never more than `most` of them are made."""
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG) or info.is_dir():
        raise Refused("it is a link or something else that is no file")
    if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise Refused("it is encrypted, or packed in a way that mubench export does not use")
    if info.file_size > most:
        raise Refused(f"it unpacks to {info.file_size:,} bytes, more than {most:,}")
    if info.file_size > RATIO * max(info.compress_size, 1):
        raise Refused(f"it unpacks to more than {RATIO} times its size, as a zip bomb does")
    try:
        with archive.open(info) as stream:
            content = stream.read(most + 1)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise Refused(f"it cannot be unpacked ({shown(error)})") from error
    if len(content) > most:
        raise Refused(f"it unpacks to more than {most:,} bytes")
    return content


def _complete(run: str, files: dict[str, bytes], manifest: Manifest) -> dict[str, bytes] | Refused:
    named = {name.split("/")[2] for name in manifest.files if name.startswith(f"runs/{run}/")}
    missing = sorted(named - files.keys())
    if missing or "record.json" not in files:
        return Refused(f"{shown((*missing, 'record.json')[0])} is named, but not there")
    return files
