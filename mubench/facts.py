"""What the class of a component says of itself, read from its source: importing it would import torch."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

Node = ast.expr


@dataclass(frozen=True)
class Facts:
    """Class attributes that are literals, and functions, those of its bases among them; its own docstring."""

    values: dict[str, Any]
    functions: frozenset[str]  # but those of a class without bases, which says what there may be
    doc: str = ""

    def get(self, name: str, unknown: Any = None) -> Any:
        """A value, where the source tells it."""
        return self.values.get(name, unknown)

    @property
    def papers(self) -> tuple[str, ...]:
        """Keys of methods/sources.bib; a task's `source` is a folder, and none of these."""
        source = self.values.get("source")
        return source if isinstance(source, tuple) else ()


@cache
def of(target: str) -> Facts:
    """Facts of the class with this dotted name; none of a class that is not written in Python."""
    module, _, name = target.rpartition(".")
    tree = _tree(module)
    for node in tree.body if tree else ():
        if isinstance(node, ast.ClassDef) and node.name == name:
            return _facts(node, module)
        if isinstance(node, ast.ImportFrom) and name in (alias.asname or alias.name for alias in node.names):
            return of(_imported(node, module, name))
    return Facts({}, frozenset())


def _facts(node: ast.ClassDef, module: str) -> Facts:
    values: dict[str, Any] = {}
    functions: set[str] = set()
    for base in reversed(node.bases):
        if isinstance(base, ast.Name):
            inherited = of(f"{module}.{base.id}")
            values |= inherited.values
            functions |= inherited.functions
    for statement in node.body:
        if isinstance(statement, ast.FunctionDef):
            values.pop(statement.name, None)
            functions |= {statement.name} if node.bases else set()
    for name, value in _assigned(node):
        values.pop(name, None)  # what cannot be read here is not what the base says
        literal = _literal(value)
        if literal is not None:
            values[name] = literal
    return Facts(values, frozenset(functions), ast.get_docstring(node) or "")


def _assigned(node: ast.ClassDef) -> Iterator[tuple[str, Node]]:
    for statement in node.body:
        if (
            isinstance(statement, ast.AnnAssign)
            and isinstance(statement.target, ast.Name)
            and statement.value
        ):
            yield statement.target.id, statement.value
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            yield statement.targets[0].id, statement.value


def _literal(value: Node) -> Any:
    """The value of a literal or of `frozenset` of one; None for what has to be computed."""
    try:
        if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "frozenset":
            return frozenset(*(ast.literal_eval(argument) for argument in value.args))
        return ast.literal_eval(value)
    except ValueError:
        return None


def _imported(node: ast.ImportFrom, module: str, name: str) -> str:
    alias = next(a for a in node.names if (a.asname or a.name) == name)
    package = module.rsplit(".", node.level)[0] + "." if node.level else ""
    return f"{package}{node.module or ''}.{alias.name}"


@cache
def _tree(module: str) -> ast.Module | None:
    try:
        spec = find_spec(module) if module else None
    except ImportError:
        return None
    if spec is None or not spec.origin or not spec.origin.endswith(".py"):
        return None
    return ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
