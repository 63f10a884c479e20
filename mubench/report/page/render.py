"""The page written out: template, style and script into one file that asks the network for nothing."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

# What a browser may do with the page, whatever a record's text says: its own style, its own script, no more.
POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{}'; base-uri 'none'"
)


def render(content: Mapping[str, Any], pictures: Sequence[tuple[str, bytes]]) -> str:
    """The page as HTML; pictures are (title, SVG), shown as images so that nothing in them runs."""
    script = _read("script.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(_read("page.html.j2"))
    return template.render(
        content, tick=_tick, policy=POLICY.format(digest),
        style=Markup(_read("style.css")), script=Markup(script),
        data=embedded({"runs": content["runs"]}), pictures=[(title, _source(svg)) for title, svg in pictures],
    )  # fmt: skip


def _tick(verified: bool) -> Markup:
    """The mark of a method that passed `mubench verify`."""
    sign = '<span class="tick" title="passed every check of mubench verify"> ✓</span>'
    return Markup(sign if verified else "")


def embedded(data: Any) -> str:
    """Data as compressed JSON in base64: small, and no text in it can close the element that holds it."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def _read(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _source(svg: bytes) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg).decode()
