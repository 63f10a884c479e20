"""The page written out: templates, style and script into one file that asks the network for nothing."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup, escape

from mubench.report.page.remarks import OWN

# What a browser may do with the page, whatever a record's text says: its own style, its own script, no more.
POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{}'; base-uri 'none'; "
    "form-action 'none'"
)


def render(content: Mapping[str, Any]) -> str:
    """The page as HTML; its pictures, SVG, are shown as images so that nothing in them runs."""
    script = _read("script.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        loader=FunctionLoader(_read),
    )  # fmt: skip
    environment.globals["own"] = OWN
    environment.filters |= {"wrapped": _wrapped, "broken": _broken, "source": _source}
    return environment.get_template("page.html.j2").render(
        content, policy=POLICY.format(digest), style=Markup(_read("style.css")), script=Markup(script),
        data=embedded({"runs": content["runs"]}),
    )  # fmt: skip


def _wrapped(name: str) -> Markup:
    """A long name that may be broken behind its underscores, and not before its arrow."""
    return Markup("_<wbr>").join(escape(part) for part in name.replace(" ", "\u00a0").split("_"))


def _broken(name: str) -> str:
    """The same as plain text."""
    return name.replace(" ", "\u00a0").replace("_", "_\u200b")


def embedded(data: Any) -> str:
    """Data as compressed JSON in base64: small, and no text in it can close the element that holds it."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def _read(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _source(svg: bytes) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg).decode()
