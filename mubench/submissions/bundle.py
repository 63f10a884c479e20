"""A submission: one zip of records, and a manifest that says whose they are and what every file holds."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mubench
from mubench.files import write_atomically
from mubench.records import Record
from mubench.submissions import requirements
from mubench.submissions.public import public
from mubench.submissions.strict import LONGEST, Refused, parse, shown

VERSION = 1
MANIFEST = "manifest.json"
KIND = "mubench submission"
STILL = (1980, 1, 1, 0, 0, 0)  # the date of every member: the same runs give the same bytes


@dataclass(frozen=True)
class Entry:
    """One run as it goes into a submission."""

    fingerprint: str
    files: Mapping[str, bytes]  # by the member's name
    stripped: Sequence[str]
    finished: str
    version: str | None


@dataclass
class Manifest:
    """What stands in manifest.json beside the hashes."""

    group: str
    contact: str | None
    when: str  # when the last of its runs was finished
    mubench: str  # the version that wrote it
    versions: list[str]  # those that the runs were made with
    files: dict[str, str]  # SHA-256 of every other member
    stripped: dict[str, list[str]] = field(default_factory=dict)  # by fingerprint: what was taken out

    def text(self) -> bytes:
        """The bytes of manifest.json."""
        return _json({"kind": KIND, "schema": VERSION, **self.__dict__})

    def runs(self) -> list[str]:
        """The fingerprints of its runs."""
        return sorted({name.split("/")[1] for name in self.files})


def name_of(fingerprint: str, file: str) -> str:
    """The member that holds a run's file."""
    return f"runs/{fingerprint}/{file}"


def entry(folder: Path, record: Record) -> Entry:
    """A run without what is private; Refused if it cannot be a row of a leaderboard."""
    content, stripped = public(record)
    text = _json(content)
    checked = requirements.check(parse(text))
    files = {name_of(checked.fingerprint, "record.json"): text}
    if "curves.json" in record.files:
        files[name_of(checked.fingerprint, "curves.json")] = check_curves(_read(folder), record)
    version = checked.environment.get("mubench")
    return Entry(checked.fingerprint, files, stripped, str(checked.finished), version)


def check_curves(text: bytes, record: Record) -> bytes:
    """What attacks left, as the record has sealed it."""
    content = parse(text)
    if hashlib.sha256(text).hexdigest() != record.files.get("curves.json"):
        raise Refused("curves.json is not what the record was written with (its hash differs)")
    if content.get("schema") != record.schema or not isinstance(content.get("curves"), dict):
        raise Refused("curves.json holds no curves")
    return text


def write(path: Path, entries: Sequence[Entry], group: str, contact: str | None) -> Manifest:
    """Write the zip, the same bytes for the same runs, and return its manifest."""
    members = {name: text for one in entries for name, text in one.files.items()}
    made = Manifest(
        group=requirements.check_group(group),
        contact=check_contact(contact),
        when=max(one.finished for one in entries),
        mubench=mubench.__version__,
        versions=sorted({one.version for one in entries if one.version}),
        files={name: hashlib.sha256(members[name]).hexdigest() for name in sorted(members)},
        stripped={
            one.fingerprint: list(one.stripped) for one in sorted(entries, key=lambda e: e.fingerprint)
        },
    )
    write_atomically(path, lambda temporary: _zip(temporary, {MANIFEST: made.text(), **members}))
    return made


def check_contact(contact: object) -> str | None:
    """How to reach the group, in one short line."""
    if contact is not None and not (
        isinstance(contact, str) and len(contact) <= 200 and contact.isprintable()
    ):
        raise Refused(f"the contact {shown(contact)} is not one line of at most 200 characters")
    return contact


def manifest(content: Mapping[str, Any]) -> Manifest:
    """The manifest that a parsed manifest.json holds; Refused for anything else."""
    if content.get("kind") != KIND or content.get("schema") != VERSION:
        raise Refused(f"it is no submission of schema {VERSION}, but {shown(content.get('schema'))}")
    fields: dict[str, Any] = {name: content.get(name) for name in Manifest.__dataclass_fields__}
    requirements.check_group(fields["group"])
    check_contact(fields["contact"])
    files, versions, stripped = fields["files"], fields["versions"], fields["stripped"]
    texts = all(
        isinstance(fields[name], str) and len(fields[name]) <= LONGEST for name in ("when", "mubench")
    )
    lists = isinstance(versions, list) and isinstance(stripped, dict)
    if not texts or not lists or not isinstance(files, dict) or not _hashes(files):
        raise Refused("its manifest lacks when, mubench, versions, stripped or files with their hashes")
    return Manifest(**fields)


def _hashes(files: Mapping[str, Any]) -> bool:
    return all(isinstance(value, str) and requirements.HASH.fullmatch(value) for value in files.values())


def _read(folder: Path) -> bytes:
    try:
        return (folder / "curves.json").read_bytes()
    except OSError as error:
        raise Refused("its curves.json cannot be read") from error


def _json(content: Mapping[str, Any]) -> bytes:
    try:
        return (json.dumps(content, indent=1, allow_nan=False) + "\n").encode()
    except ValueError as error:
        raise Refused("it holds a number that is not finite") from error


def _zip(path: Path, members: Mapping[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, allowZip64=False) as archive:
        for name in _sorted(members):
            info = zipfile.ZipInfo(name, STILL)
            info.create_system, info.external_attr = 3, 0o100644 << 16
            archive.writestr(info, members[name], zipfile.ZIP_DEFLATED, 9)


def _sorted(members: Mapping[str, bytes]) -> Iterator[str]:
    """The manifest first: a reader knows at once what it reads."""
    yield from (MANIFEST, *sorted(members.keys() - {MANIFEST}))
