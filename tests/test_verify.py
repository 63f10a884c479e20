"""`mubench verify` as users call it: what it prints, its exit status, what it keeps, what a table marks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import EXTERNAL, FAST, mubench

from mubench import verified
from mubench.verify import checks

MINE = ("task=digits", f"--config-dir={EXTERNAL}")


def kept(out: Path) -> dict:
    """What is stored, by method."""
    found = [json.loads(path.read_text()) for path in (out / "verified").glob("*.json")]
    return {content["method"]: content for content in found}


@pytest.fixture(scope="module")
def out(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("verify") / "outputs"


@pytest.fixture(scope="module")
def done(out):
    """One right and one wrong method of a user, checked in one process."""
    return mubench("verify", "backwards", "leaky", *MINE, f"out={out}")


def test_a_wrong_method_fails_and_a_right_one_passes(done, out):
    assert done.status == 1 and "Traceback" not in done.err
    lines = done.out.splitlines()
    assert lines[0].startswith("✓ backwards on digits with resnet-small: ") and " 0 failed" in lines[0]
    assert lines[1].startswith("✗ leaky on digits with resnet-small: ") and " 1 failed" in lines[1]
    assert (
        lines[2].split()[:2] == ["✗", "settings"] and "strength=1.0" in lines[2] and "no effect" in lines[2]
    )
    assert lines[3:] == ["2 methods: 1 passed, 1 failed: leaky"]
    assert {name: found["tasks"]["digits"]["passed"] for name, found in kept(out).items()} == {
        "backwards": True, "leaky": False,
    }  # fmt: skip


def test_what_is_kept_names_code_settings_and_every_check(done, out):
    content = kept(out)["leaky"]
    assert content["settings"] == {"name": "leaky", "_target_": "homemade.Leaky", "strength": 2.0}
    assert list(content["sources"]) == [str((EXTERNAL / "homemade.py").resolve())]
    findings = content["tasks"]["digits"]["findings"]
    assert [finding["check"] for finding in findings] == list(checks.CHECKS)
    assert {f["check"] for f in findings if f["passed"] is False} == {"settings"}
    assert all(finding["found"] for finding in findings)


def test_the_table_marks_what_passed_with_these_settings_and_this_code(done, out, cli):
    for method in ("backwards", "leaky"):
        ran = mubench("run", f"method={method}", *FAST, "evaluation.reference=none", MINE[1], f"out={out}")
        assert ran.status == 0, ran.err
    printed = cli("table", f"out={out}").out
    assert "backwards ✓" in printed and "leaky ✓" not in printed
    (legend,) = (line for line in printed.splitlines() if line.startswith("✓ "))
    assert legend.endswith("passed every check of mubench verify")
    marked = {
        row["method"]: row["verified"] for row in json.loads(cli("table", "--format=json", f"out={out}").out)
    }
    assert marked == {"original": False, "backwards": True, "leaky": False}


def test_a_stale_result_marks_nothing(tmp_path):
    code, settings = tmp_path / "code.py", {"name": "mine", "_target_": "code.Mine", "strength": 1.0}
    code.write_text("one")
    verified.store(tmp_path, settings, [code], {"digits": {"passed": True}})
    assert verified.proven(tmp_path) == [settings]
    verified.store(tmp_path, {**settings, "strength": 2.0}, [code], {"digits": {"passed": False}})
    assert verified.proven(tmp_path) == [settings]
    code.write_text("two")
    assert verified.proven(tmp_path) == []
    code.unlink()
    assert verified.proven(tmp_path) == []


def test_results_on_several_tasks_count_together_and_a_damaged_file_not_at_all(tmp_path):
    settings = {"name": "mine", "_target_": "code.Mine"}
    path = verified.store(tmp_path, settings, [], {"digits": {"passed": True}})
    verified.store(tmp_path, settings, [], {"mini/tofu": {"passed": False}})
    assert verified.proven(tmp_path) == []
    verified.store(tmp_path, settings, [], {"mini/tofu": {"passed": True}})
    assert verified.proven(tmp_path) == [settings]
    assert set(json.loads(path.read_text())["tasks"]) == {"digits", "mini/tofu"}
    path.write_text("{")
    assert verified.proven(tmp_path) == []
    verified.store(tmp_path, settings, [], {"digits": {"passed": True}})
    assert verified.proven(tmp_path) == [settings]


MISTAKES = {
    ("verify", "slun"): "unknown method 'slun'. Did you mean 'salun'? (mubench ls methods)",
    ("verify", "salun", "task=digit"): "unknown task 'digit'. Did you mean 'digits'? (mubench ls tasks)",
    ("verify", "salun", "method=scrub"): (
        "'method=scrub': verify takes methods by name (mubench verify --help)"
    ),
    ("verify", "salun", "method.ratoi=.3", "task=digits"): (
        "method 'salun' has no setting 'ratoi'. Did you mean 'ratio' (0.5)? (mubench show method salun)"
    ),
    ("verify", "dpo", "task=digits"): (
        "method 'dpo' serves no task that was tried (task=NAME picks another)"
    ),
}


@pytest.mark.parametrize("words", MISTAKES, ids=" ".join)
def test_a_mistake_gets_one_sentence(words, cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = cli(*words)
    assert (done.status, done.out, done.err) == (2, "", f"mubench: {MISTAKES[words]}\n")
    assert list(tmp_path.iterdir()) == []


def test_a_method_outside_the_kinds_is_checked_on_the_first_task_it_serves(tmp_path, monkeypatch):
    """Without loading anything: which tasks are tried for whom."""
    from mubench import catalog
    from mubench.plan import Planner
    from mubench.verify.suite import Suite

    monkeypatch.setattr(Suite, "_report", lambda self, config, method: config.key["task"])
    suite = Suite(Planner(catalog.config_dirs()), [])
    assert list(suite.reports("neggrad")) == ["digits", "mini/tofu", "mini/tiny_imagenet"]
    assert list(suite.reports("dpo")) == ["mini/tofu"]
    assert list(suite.reports("multi_delete")) == ["mini/nlvr2"]
