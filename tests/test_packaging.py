"""The wheel carries the configs and works away from the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

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


MEDIAN = """
import numpy as np
from mubench.metrics.base import metric

@metric(goal={"test": "lower", "forget": "match"}, scope="split", reads="losses")
def NAME(outputs):
    'Median of the losses.'
    return float(np.median(outputs.losses))
"""


def installed(site: Path, code: str) -> dict[str, str]:
    """The environment of a command beside which a package with metrics is installed."""
    info = site / "others-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: others\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[mubench.metrics]\nothers = others\n")
    (site / "others.py").write_text(code)
    return {**os.environ, "PYTHONPATH": str(site)}


def test_an_installed_package_brings_metrics_along(outputs, tmp_path):
    environment = installed(tmp_path / "site", MEDIAN.replace("NAME", "median_loss"))
    (run,) = outputs.runs()

    def say(*words: str) -> str:
        command = [sys.executable, "-m", "mubench", *words]
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout

    assert say("ls", "metrics", "median*").split()[0] == "median_loss"
    say("score", str(run), "metrics=[median_loss]")
    printed = say("table", "metrics=[test_median_loss,forget_median_loss]", f"out={outputs.folder}")
    assert "loss ≈" in printed and "0." in printed


@pytest.mark.parametrize(
    ("code", "why"),
    [("import no_such_module", "No module named 'no_such_module'"),
     (MEDIAN.replace("NAME", "macro_f1"), "there is a metric 'macro_f1' already")],
)  # fmt: skip
def test_metrics_that_cannot_be_had_are_told_in_one_sentence(tmp_path, code, why):
    done = subprocess.run(
        [sys.executable, "-m", "mubench", "ls", "metrics"], capture_output=True, text=True, check=False,
        env=installed(tmp_path / "site", code),
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"mubench: the installed metrics others cannot be imported: {why}\n"


def test_the_readmes_tree_names_every_room():
    readme = (ROOT / "README.md").read_text()
    for path in (ROOT / "mubench").iterdir():
        if path.name not in ("__pycache__", "__init__.py", "configs"):
            assert path.name in readme, f"README.md does not name mubench/{path.name}"
