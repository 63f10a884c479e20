"""The wheel carries the configs and works away from the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_an_unpacked_wheel_finds_its_own_configs(tmp_path):
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    packaged = {p.relative_to(site / "mubench/configs") for p in site.glob("mubench/configs/**/*.yaml")}
    assert packaged == {p.relative_to(ROOT / "configs") for p in (ROOT / "configs").rglob("*.yaml")}
    shown = subprocess.run(
        [sys.executable, "-m", "mubench", "show", "task", "digits"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(site)}, check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert str(site / "mubench" / "configs" / "task" / "digits.yaml") in shown.stdout


def test_the_readmes_tree_names_every_room():
    readme = (ROOT / "README.md").read_text()
    for path in (ROOT / "mubench").iterdir():
        if path.name not in ("__pycache__", "__init__.py", "configs"):
            assert path.name in readme, f"README.md does not name mubench/{path.name}"
