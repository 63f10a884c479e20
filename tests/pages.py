"""The pages of documentation, what stands in them, and the scripts that write parts of them."""

from __future__ import annotations

import importlib
import re
import shlex
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[1]
SCRIPTS = ROOT / "scripts"
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def script(name: str) -> ModuleType:
    """A module of scripts/, which is no package."""
    if str(SCRIPTS) not in sys.path:
        sys.path.append(str(SCRIPTS))  # they import each other, as if called
    return importlib.import_module(name)


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of a language, in order."""
    return [body for named, body in FENCED.findall(text) if named == language]


def prose(text: str) -> str:
    """A page without its fenced blocks."""
    return FENCED.sub("", text)


def commands(text: str) -> list[list[str]]:
    """The words of every command in the bash blocks, in order, with the shell variables that they set."""
    found, known = [], dict[str, str]()
    for block in blocks(text, "bash"):
        for line in block.replace("\\\n", " ").splitlines():
            for words in _parted(line):
                words = [_filled(word, known) for word in words if word != "do"]
                if assigned := re.fullmatch(r"([A-Za-z]\w*)=(.*)", words[0] if words else ""):
                    known[assigned[1]] = assigned[2]
                elif words[:1] == ["for"]:
                    known[words[1]] = words[3]
                elif words and words != ["done"]:
                    found.append(words)
    return found


def _parted(line: str) -> list[list[str]]:
    """A line's commands, parted at && and ;, its comment cut off."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=";&")
    lexer.whitespace_split = True
    parts: list[list[str]] = [[]]
    for word in lexer:
        if word in (";", "&&"):
            parts.append([])
        else:
            parts[-1].append(word)
    return [part for part in parts if part]


def _filled(word: str, known: dict[str, str]) -> str:
    return re.sub(r"\$(\w+)", lambda found: known.get(found[1], found[0]), word)


def files(text: str) -> dict[str, str]:
    """The blocks that are whole files, by their paths, which stand in the line above."""
    return dict(re.findall(r"^`([\w/.]+)`:\n\n```\w+\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
