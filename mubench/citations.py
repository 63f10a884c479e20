"""The papers behind the components, by the keys of methods/sources.bib: as BibTeX, or in a line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_ENTRY = re.compile(r"^@(?P<kind>\w+)\{(?P<key>[^,\s]+),\n(?P<body>.*?)^\}$", re.MULTILINE | re.DOTALL)
_FIELD = re.compile(r"^\s*(\w+)\s*=\s*\{(.*)\},?$", re.MULTILINE)


@dataclass(frozen=True)
class Entry:
    """One paper: its fields, and its BibTeX as it stands in the file."""

    key: str
    fields: Mapping[str, str]
    bibtex: str

    @property
    def line(self) -> str:
        """Authors (year). Title. Venue. Address."""
        venue = self.fields.get("booktitle") or self.fields.get("journal")
        parts = [f"{self._authors} ({self.fields['year']})", self.fields["title"].rstrip("."), venue]
        return f"{'. '.join(_plain(part) for part in parts if part)}. {self.address}".strip()

    @property
    def address(self) -> str:
        """Where to read it: arXiv where it stands there, else its own URL."""
        arxiv = self.fields.get("eprint")
        return f"https://arxiv.org/abs/{arxiv}" if arxiv else self.fields.get("url", "")

    @property
    def _authors(self) -> str:
        names = [name.split(",")[0].strip() for name in self.fields["author"].split(" and ")]
        return " and ".join(names) if len(names) < 3 else f"{names[0]} et al."


def parse(text: str) -> dict[str, Entry]:
    """Entries by key; every field stands on a line of its own, its value in braces."""
    found = {}
    for match in _ENTRY.finditer(text):
        key = match["key"]
        if key in found:
            raise ValueError(f"{key} stands there twice")
        found[key] = Entry(key, dict(_FIELD.findall(match["body"])), match[0])
    return found


@cache
def papers() -> dict[str, Entry]:
    """All that come with mubench."""
    return parse((Path(__file__).parent / "methods" / "sources.bib").read_text(encoding="utf-8"))


def cite(key: str) -> str:
    """A source in a line; a component from outside may name its own in words, which stay as they are."""
    return papers()[key].line if key in papers() else key


def bibtex(keys: Iterable[str]) -> str:
    """The known entries among the keys, each once, in the order given."""
    return "\n\n".join(papers()[key].bibtex for key in dict.fromkeys(keys) if key in papers())


def _plain(text: str) -> str:
    return text.replace("{", "").replace("}", "").replace("\\&", "&")
