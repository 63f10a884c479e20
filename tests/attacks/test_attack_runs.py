"""Attacks through the real command: what a run leaves, what is made once, what an interruption costs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from command_line import FAST, LEFT, mubench, names, record_of

from mubench import records
from mubench.files import Corrupt

TINY = (
    "evaluation=robust", "evaluation.attacks.relearn.steps=[1,2]",
    "evaluation.attacks.relearn.sources=[forget,test]", "evaluation.attacks.noise.draws=1",
    "evaluation.attacks.connectivity.points=3", "evaluation.attacks.connectivity.examples=50",
)  # fmt: skip
ROLES = ("original", "retrained", "unlearned")
ATTACKS = ("relearn", "quantise", "noise", "connectivity")
MINE = """
from dataclasses import dataclass
from pathlib import Path

from mubench.attacks.base import Attack


@dataclass
class Fails(Attack):
    \"\"\"Fails on the unlearned model until a file is there.\"\"\"

    flag: str = ""

    def curves(self, target):
        if target.role == "unlearned" and not Path(self.flag).exists():
            raise ValueError("not yet")
        return {"weights": {"forget_loss": [1.0]}}
"""


def made(said: str) -> list[str]:
    """The attacks that were made, in order."""
    return [line.split(":")[0].strip() for line in said.splitlines() if line.startswith("  attack ")]


@pytest.fixture(scope="module")
def attacked(first, tmp_path_factory):
    """The outputs folder, two runs by their adapters, weights kept, and what the command said."""
    folder = tmp_path_factory.mktemp("attacked") / "outputs"
    shutil.copytree(first.folder, folder)
    words = ["-m", "method=neggrad", "adapter=none,lora", *FAST, *TINY, "save_model=true", f"out={folder}"]
    done = mubench("run", *words)
    assert done.status == 0, done.err
    runs = [path.parent for path in folder.glob("runs/*/*/neggrad/*/*/curves.json")]
    return folder, {record_of(run)["key"]["adapter"]: run for run in runs}, done


def test_every_attack_is_made_on_every_model_and_on_shared_ones_once(attacked):
    _, runs, done = attacked
    shared = [f"attack {name} on the {role} model" for role in ROLES[:2] for name in ATTACKS]
    own = [f"attack {name} on the unlearned model" for name in ATTACKS]
    assert made(done.err) == [*shared, *own, *own]
    assert set(runs) == {"none", "lora"}
    for run in runs.values():
        curves = records.curves(run)
        assert {role: set(found) for role, found in curves.items()} == {role: set(ATTACKS) for role in ROLES}
        assert curves["unlearned"]["relearn"]["test"]["steps"] == [0.0, 1.0, 2.0]
        assert set(curves["unlearned"]["relearn"]) == {"forget", "test"}
        left = names(run)
        assert "curves.json" in record_of(run)["files"] and left >= {"curves.json", *LEFT}
        assert not any("attacked" in name for name in left)


def test_headlines_stand_in_the_record_and_others_say_why_not(attacked):
    record = record_of(attacked[1]["none"])
    metrics, reasons = record["metrics"], record["reasons"]
    for role in ROLES:
        assert metrics[role]["int8_forget_score"] == pytest.approx(metrics[role]["forget_accuracy"], abs=0.05)
        assert metrics[role]["relearn_retain_score"] is None
        assert reasons[f"{role}.relearn_retain_score"] == (
            f"there is no curve 'retain' of relearn on the {role} model"
        )
    assert metrics["retrained"]["residual_knowledge"] == 1
    assert metrics["unlearned"]["barrier_original_forget"] >= 0
    assert reasons["original.mix_forget_score"] == "it is the original model itself"
    shown = attacked[2].out
    assert "int4_forget_score ≈" in shown and "residual_knowledge ≈" in shown
    assert "relearn_retain_score" not in shown  # not asked for: nothing to show


def test_the_model_that_is_kept_is_the_one_without_attacks(attacked):
    folder, runs, _ = attacked
    robust = runs["none"]
    again = mubench("run", "method=neggrad", *FAST, "save_model=true", "force=true", f"out={folder}")
    assert again.status == 0, again.err
    plain = Path(again.out.splitlines()[-1])
    assert plain != robust
    for name in ("model/model.safetensors", "predictions.safetensors"):
        assert (plain / name).read_bytes() == (robust / name).read_bytes(), name
    with_attacks, without = record_of(robust)["metrics"], record_of(plain)["metrics"]
    for role in ROLES:
        assert without[role].items() <= with_attacks[role].items()
        assert not {name for name in without[role] if name.startswith(("relearn", "int4", "mix", "barrier"))}
    assert names(plain) == LEFT | {"model/model.safetensors"}


def test_an_attack_from_outside_fails_and_the_same_command_goes_on_from_there(attacked, tmp_path):
    folder, _, _ = attacked
    (tmp_path / "attack").mkdir()
    (tmp_path / "fails_on_purpose.py").write_text(MINE)
    yaml = f"name: fails\n_target_: fails_on_purpose.Fails\nexamples: 5\nflag: {tmp_path / 'flag'}\n"
    (tmp_path / "attack" / "fails.yaml").write_text(f"# Fails on purpose\n{yaml}")
    words = [
        "method=neggrad", *FAST, *TINY, "unlearning.lr=1e-4", "+attack@evaluation.attacks.fails=fails",
        f"--config-dir={tmp_path}", f"out={folder}",
    ]  # fmt: skip
    broken = mubench("run", *words)
    assert broken.status == 1 and "the run failed: ValueError: not yet" in broken.err
    shared = [f"attack fails on the {role} model" for role in ROLES[:2]]
    assert made(broken.err) == [*shared, *(f"attack {name} on the unlearned model" for name in ATTACKS)]
    (tmp_path / "flag").touch()
    whole = mubench("run", *words)
    assert whole.status == 0 and made(whole.err) == ["attack fails on the unlearned model"]
    run = Path(whole.out.splitlines()[-1])
    assert records.curves(run)["original"]["fails"] == {"weights": {"forget_loss": [1.0]}}
    assert not (run / "checkpoints").exists()


def test_headlines_are_scored_again_from_the_curves(attacked, cli):
    run = attacked[1]["lora"]
    record = record_of(run)
    wanted = {role: dict(record["metrics"][role]) for role in ROLES}
    for role in ROLES:
        record["metrics"][role] |= dict.fromkeys(("int4_forget_loss", "residual_knowledge"), -1.0)
    (run / "record.json").write_text(json.dumps(record))
    done = cli("score", str(run), "metrics=[int4,residual_knowledge]")
    assert done.status == 0, done.err
    for role in ROLES:
        assert record_of(run)["metrics"][role] == wanted[role]


def test_curves_of_another_schema_are_refused(tmp_path):
    assert records.curves(tmp_path) == {}
    (tmp_path / "curves.json").write_text(json.dumps({"schema": 99, "curves": {}}))
    with pytest.raises(Corrupt, match="schema 99, not 1"):
        records.curves(tmp_path)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("evaluation=robus", "unknown evaluation 'robus'. Did you mean 'robust'? (mubench ls evaluations)"),
        (
            "evaluation=robust evaluation.attacks.relearn.stepz=[1]",
            "'evaluation.attacks.relearn' has no setting 'stepz'. Did you mean 'steps' (",
        ),
        (
            "evaluation=robust evaluation.attacks.relearn.sources=[forgett]",
            "evaluation.attacks.relearn.sources is one of forget, retain, test, corrupted; not 'forgett'. "
            "Did you mean 'forget'?",
        ),
        (
            "evaluation=robust evaluation.attacks.quantise.bits=[1]",
            "evaluation.attacks.quantise.bits must lie in [2, 16], not 1",
        ),
        (
            "evaluation=robust evaluation.attacks.relearn.steps=[]",
            "evaluation.attacks.relearn.steps=[] names none",
        ),
        (
            "evaluation=robust evaluation.attacks.noise.sigma=much",
            "evaluation.attacks.noise.sigma: ",
        ),
        (
            "evaluation=robust +attack@evaluation.attacks.mine=relern",
            "unknown attack 'relern'. Did you mean 'relearn'? (mubench ls attacks)",
        ),
        (
            "evaluation.metrics=[relearn_forget]",
            "metric 'relearn_forget' reads what the attack 'relearn' leaves: evaluation=robust",
        ),
    ],
)  # fmt: skip
def test_a_mistake_gets_one_sentence(cli, tmp_path, monkeypatch, words, sentence):
    monkeypatch.chdir(tmp_path)
    done = cli("run", *words.split())
    assert done.status == 2 and done.err.count("\n") == 1
    assert done.err.startswith(f"mubench: {sentence}")
    assert list(tmp_path.iterdir()) == []
