"""JSON of strangers: parsed within limits, everything that two readers could take differently refused."""

from __future__ import annotations

import json
import math
import re
from typing import Any

DEPTH = 32  # nested objects and arrays
DIGITS = 18  # of a whole number
MOST = 1e60  # no number is larger: squares and sums of such numbers are finite
LONGEST = 4000  # characters of a text
MULTILINE = "\n\t"  # what a template of prompts may hold beside printable characters
_TOKENS = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)


class Refused(Exception):
    """Why something of a submission is not taken: one sentence, its quotations made harmless."""


def shown(text: object, most: int = 60) -> str:
    """A stranger's text as it may be printed: ASCII, quoted, cut short."""
    whole = ascii(str(text)[: most + 1])
    return whole if len(whole) <= most + 2 else f"{whole[:most]}...'"


def parse(content: bytes) -> dict[str, Any]:
    """A JSON object of finite numbers and printable texts; Refused for anything else."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refused("it is not UTF-8") from error
    _shallow(text)
    try:
        found = json.loads(
            text, parse_float=_float, parse_int=_int, parse_constant=_constant, object_pairs_hook=_once
        )
    except ValueError as error:
        raise Refused(f"it is not JSON ({shown(error)})") from error
    if not isinstance(found, dict):
        raise Refused("it is not a JSON object")
    _printable(found, "")
    return found


def _shallow(text: str) -> None:
    depth = 0
    for match in _TOKENS.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(match[0], 0)
        if depth > DEPTH:
            raise Refused(f"it is nested more than {DEPTH} deep")


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value) or abs(value) > MOST:
        raise Refused(f"the number {shown(text, 20)} is too large")
    return value


def _int(text: str) -> int:
    if len(text.lstrip("-")) > DIGITS:
        raise Refused(f"the number {shown(text, 20)} is too large")
    return int(text)


def _constant(text: str) -> float:
    raise Refused(f"{text} is no finite number")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise Refused(f"the name {shown(twice)} stands there twice")
    return found


def _printable(value: Any, at: str) -> None:
    """Refused for control characters, among them those that turn the direction of writing; for long texts."""
    if isinstance(value, dict):
        for name, item in value.items():
            _text(name, at or "a name", "")
            _printable(item, f"{at}.{name}".lstrip("."))
    elif isinstance(value, list):
        for item in value:
            _printable(item, at)
    elif isinstance(value, str):
        _text(value, at, MULTILINE if at.partition(".")[0] == "config" else "")


def _text(text: str, at: str, more: str) -> None:
    if len(text) > LONGEST:
        raise Refused(f"{shown(at)} holds a text of {len(text):,} characters")
    if not all(letter.isprintable() or letter in more for letter in text):
        raise Refused(f"{shown(at)} holds control characters: {shown(text)}")
