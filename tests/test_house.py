"""The house keeps its order: floors, no names of components outside their own files, no catch-all rooms."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from mubench import catalog

ROOT = Path(__file__).parent.parent / "mubench"
FILES = sorted(ROOT.rglob("*.py"))
# A room stands above everything it imports. Rooms on one floor do not import each other; modules of
# one folder may.
FLOORS = [
    ["errors", "fingerprint", "statistics"],
    ["files", "schema", "hub", "catalog", "environment", "official", "extras", "citations", "facts"],
    ["config", "processes", "jobs", "keys", "database", "installed", "overrides"],
    ["failing", "parts", "plans", "typed"],
    ["progress", "records", "verified", "metrics.base", "data", "divergence", "checking", "optimizers"],
    ["storage", "modalities", "tasks", "deletion", "curricula", "networks", "metrics", "evidence"],
    ["models", "encoding", "engine", "effort", "meters", "gradients", "scoring", "archive", "submissions"],
    ["checkpoints", "kept", "remembered", "optimization", "costs", "tally", "prediction", "adapters"],
    ["rescoring", "index", "composing", "relabelling"],
    ["workbench", "anatomy", "plan"],
    ["training", "layout"],
    ["run", "artifacts", "summary", "generation", "sensitivity", "penultimate", "distances"],
    ["methods", "evaluation", "shadows", "unlearned", "sharded_run"],
    ["connect", "sharing"],
    ["attacks"],
    ["compatibility", "calibration"],
    ["judging"],
    ["stages"],
    ["report", "verify"],
    ["tracking", "publishing"],
    ["experiment"],
    ["search"],
    ["launching"],
    ["commands"],
    ["cli"],
    ["__main__"],
]
LIGHT = (
    "errors",
    "fingerprint",
    "files",
    "processes",
    "failing",
    "schema",
    "catalog",
    "installed",
    "citations",
    "facts",
    "progress",
    "records",
    "plans",
    "index",
    "database",
    "verified",
    "report",
    "metrics",
    "scoring",
    "evidence",
    "archive",
    "rescoring",
    "submissions",
    "publishing",
    "statistics",
    "tracking",
)


def room(module: str) -> str:
    """The floor list's name for a dotted module below mubench."""
    named = {name for floor in FLOORS for name in floor}
    return module if module in named else module.split(".")[0]


def floor(module: str) -> int:
    for height, names in enumerate(FLOORS):
        if room(module) in names:
            return height
    pytest.fail(f"{module} stands on no floor")


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path) -> set[str]:
    """Modules of ours that a file imports, anywhere in it, without the leading 'mubench.'."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "mubench":
            inner = (node.module or "").removeprefix("mubench").lstrip(".")
            for alias in node.names:
                joined = f"{inner}.{alias.name}".lstrip(".")
                is_module = (ROOT / joined.replace(".", "/")).with_suffix(".py").is_file()
                found.add(joined if is_module or (ROOT / joined).is_dir() else inner)
    return {module for module in found if module}


@pytest.mark.parametrize("path", FILES, ids=lambda path: module_of(path) or "mubench")
def test_a_module_imports_only_from_lower_floors(path):
    module = module_of(path)
    if not module or module == "__init__":
        return
    for other in imports(path):
        if room(other) != room(module):
            assert floor(other) < floor(module), f"{module} imports {other}"


@pytest.mark.parametrize("path", [p for p in FILES if room(module_of(p)) in LIGHT], ids=module_of)
def test_rooms_that_must_start_fast_never_import_torch(path):
    top = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {alias.name for n in top if isinstance(n, ast.Import) for alias in n.names}
    names |= {node.module or "" for node in top if isinstance(node, ast.ImportFrom)}
    heavy = {"torch", "transformers", "datasets", "accelerate", "sklearn", "scipy", "pandas", "wandb"}
    assert not {name.split(".")[0] for name in names} & heavy


def test_nobody_asks_which_method_or_task_it_is():
    dirs = catalog.config_dirs()
    names = [*catalog.names("method", dirs), *catalog.names("task", dirs), *catalog.names("model", dirs)]
    compared = re.compile(rf"""[=!]=\s*["']({"|".join(map(re.escape, names))})["']""")
    for path in FILES:
        for number, line in enumerate(path.read_text().splitlines(), 1):
            found = compared.search(line)
            other = found and found.group(1) in ("original", "retrain")  # a model's role, a kind of reference
            assert not found or other, f"{path}:{number}: {line.strip()}"


def test_methods_and_metrics_never_see_each_other():
    for path in FILES:
        parts = module_of(path).split(".")
        seen = {other.split(".")[0] for other in imports(path)}
        if parts[0] == "methods":
            assert "metrics" not in seen and "evaluation" not in seen
        if parts[0] == "metrics":
            assert seen <= {"metrics", "errors"}


def test_no_room_is_a_cupboard():
    assert not {path.stem for path in FILES} & {"utils", "util", "common", "helpers", "core", "misc"}


def test_every_public_name_is_documented():
    for path in FILES:
        tree = ast.parse(path.read_text())
        assert ast.get_docstring(tree), path
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                assert ast.get_docstring(node), f"{path}: {node.name}"
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                assert ast.get_docstring(node), f"{path}: {node.name}"


def test_files_and_functions_stay_small():
    for path in FILES:
        source = path.read_text()
        assert source.count("\n") <= 300, path
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef):
                assert node.end_lineno - node.lineno < 70, f"{path}: {node.name}"


def test_nothing_names_a_private_place():
    """No path of a developer's machine, no trust in remote code, no unsafe load."""
    for path in [*FILES, *catalog.packaged_dir().rglob("*.yaml")]:
        text = path.read_text()
        assert "trust_remote_code=True" not in text and "pickle" not in text, path
        assert not re.search(r"(?<![\w.])/(home|work|root)/", text), path
        for call in re.findall(r"torch\.load\([^)]*\)", text):
            assert "weights_only=True" in call, path
