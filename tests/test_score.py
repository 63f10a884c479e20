"""`mubench score`: metrics of finished runs from what these left, without a model and without torch."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import Outputs, record_of
from sklearn.metrics import roc_auc_score

from mubench import evidence, records
from mubench.files import read_json, seal
from mubench.metrics.base import Outputs as Predictions

HEX = "0123456789abcdef"
Change = Callable[[dict[str, Predictions]], dict[str, Predictions]]


def rewrite(run: Path, change: Change) -> None:
    """Put other predictions into a run, and their hash into its record."""
    evidence.save(
        change(dict(evidence.load(run / "predictions.safetensors"))), run / "predictions.safetensors"
    )
    again(run)


def again(run: Path, **changes: Any) -> None:
    """Write a run's record again, with other fields and the hashes of its files as they are."""
    record = records.read(run)
    assert record is not None
    replace(record, **changes).write(run)


def model_of(outputs: Path, role: str) -> Path:
    (found,) = (outputs / "models" / "digits" / "resnet-small" / role).glob("seed42-????????")
    return found


def noisy(predictions: dict[str, Predictions], seed: int) -> dict[str, Predictions]:
    """Another model's predictions on the same examples."""
    rng = np.random.default_rng(seed)
    return {
        name: replace(part, logits=part.logits + rng.normal(size=part.logits.shape).astype(np.float32))
        for name, part in predictions.items()
        if part.logits is not None
    }


def another_model(source: Path, folder: Path, seed: int) -> None:
    """A sealed model with other predictions."""
    folder.mkdir(parents=True)
    evidence.save(
        noisy(dict(evidence.load(source / "predictions.safetensors")), seed),
        folder / "predictions.safetensors",
    )
    seal(folder, ["predictions.safetensors"], {"cost": {}})


def another_seed(
    outputs: Path, run: Path, train: int, unlearn: int = 42, forget_set: str | None = None
) -> Path:
    """The run as it might have come out at another training seed, with models of its own."""
    record = records.read(run)
    assert record is not None
    seeds = {**record.key["seed"], "train": train, "unlearn": unlearn}
    named = dict.fromkeys(("original", "retrained"), HEX[train] * 64)
    for role, name in named.items():
        folder = model_of(outputs, role).with_name(f"seed{train}-{name[:8]}")
        if not folder.is_dir():
            another_model(model_of(outputs, role), folder, train)
    copy = run.with_name(f"seed{unlearn}-{HEX[train] * 4}{HEX[unlearn % 16] * 4}")
    shutil.copytree(run, copy)
    rewrite(copy, lambda predictions: noisy(predictions, 10 * train + unlearn))
    sha = forget_set or record.forget_set["sha256"]
    again(
        copy, key={**record.key, "seed": seeds}, config={**record.config, "seed": seeds},
        models={**record.models, **named}, fingerprint=copy.name[7:] * 8,
        forget_set={**record.forget_set, "sha256": sha},
    )  # fmt: skip
    return copy


@pytest.fixture
def run(outputs: Outputs) -> Path:
    (found,) = outputs.runs()
    return found


# Into the record of a run --------------------------------------------------------------------------


def test_scoring_again_gives_what_the_run_gave_and_changes_nothing_else(run, cli):
    """Two values and a reason of the record are wrong beforehand; a third is of a metric not asked for."""
    before = record_of(run)
    spoilt = json.loads(json.dumps(before["metrics"]))
    for group, name in (("unlearned", "mia_auc"), ("relative", "avg_gap"), ("original", "zrf")):
        spoilt[group][name] = 0.123
    again(
        run,
        metrics=spoilt,
        reasons={**before["reasons"], "unlearned.mia_auc": "an old one", "cost.x": "kept"},
    )
    done = cli("score", str(run), "metrics=[mia_auc,avg_gap]")
    after = record_of(run)
    assert done.status == 0 and done.out.splitlines()[0] == str(run)
    assert "  avg_gap       relative" in done.out and "  mia_auc       unlearned" in done.out
    expected = {**before["metrics"], "original": {**before["metrics"]["original"], "zrf": 0.123}}
    assert after["metrics"] == expected
    assert after["reasons"] == {**before["reasons"], "cost.x": "kept"}
    assert set(after["scored"]) == {"mia_auc", "avg_gap"}
    assert after["scored"]["mia_auc"]["mubench"] and after["scored"]["mia_auc"]["when"] >= before["finished"]
    changed = {name for name in before if after[name] != before[name]}
    assert changed == {"metrics", "reasons", "scored"} and after["files"] == before["files"]


def test_all_metrics_come_out_as_they_were(run, cli):
    """Those that read what is not kept stay as they are; the shadow models' stay without."""
    before = record_of(run)
    done = cli("score", str(run))
    after = record_of(run)
    assert done.status == 0 and done.out.startswith(f"{run}: ")
    assert after["metrics"] == before["metrics"] and after["reasons"] == before["reasons"]
    assert {"mia_auc", "tow", "lira", "weight_distance_retrained"} < set(after["scored"])
    assert not {"zrf", "cka_forget", "ulira"} & set(after["scored"])


def test_torch_is_not_needed(run):
    code = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ImportError("no torch here")
sys.meta_path.insert(0, Absent())
from mubench.cli import main
sys.exit(main(sys.argv[1:]))
"""
    words = [sys.executable, "-c", code, "score", str(run), "metrics=[mia_auc,tow,forget_accuracy]"]
    assert "unknown metric 'forget_accuracy'" in subprocess.run(words, capture_output=True, text=True).stderr
    words[-1] = "metrics=[mia_auc,tow,accuracy]"
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "forget_accuracy" in done.stdout


def test_values_as_json(run, cli):
    found = json.loads(cli("score", str(run), "metrics=[tow]", "--json").out)
    assert found == {str(run): {"relative": {"tow": record_of(run)["metrics"]["relative"]["tow"]}}}


# What cannot be scored -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["metrics=[mia_auk]"], "unknown metric 'mia_auk'. Did you mean 'mia_auc'? (mubench ls metrics)"),
        (["metrics=[zrf]"], "metric 'zrf' reads an untrained model's predictions, which no run keeps"),
        (["metrics=[rougeL]"], "metric 'rougeL' reads texts, which are not kept of every model"),
        (["metrics=[token_accuracy]"], "reads tokens; {run} keeps classes, losses, weights"),
        (["metrics=[ulira]"], "metric 'ulira' compares runs of several training seeds"),
        (["metric=[tow]"], "score has no setting 'metric'. Did you mean 'metrics'?"),
        (["--jsom"], "unknown option '--jsom'. Did you mean '--json'?"),
    ],
)  # fmt: skip
def test_a_metric_that_cannot_be_had_is_refused_before_any_work(run, cli, words, sentence):
    before = (run / "record.json").read_bytes()
    done = cli("score", str(run), *words)
    assert done.status == 2 and sentence.format(run=run) in done.err and "Traceback" not in done.err
    assert (run / "record.json").read_bytes() == before


def test_curves_that_no_attack_left_are_refused(run, cli):
    from mubench.metrics import METRICS

    name = next(metric.name for metric in METRICS.values() if metric.attack)
    done = cli("score", str(run), f"metrics=[{name}]")
    assert done.status == 2 and f"metric '{name}' reads what the attack" in done.err


def lose(name: str) -> Callable[[Path, Path], None]:
    return lambda run, outputs: (run / name).unlink()


def forget_to_write(name: str) -> Callable[[Path, Path], None]:
    """As a run of an older version, which did not know of the file."""

    def spoil(run: Path, outputs: Path) -> None:
        (run / name).unlink()
        again(run)

    return spoil


def of_another_schema(run: Path, outputs: Path) -> None:
    from safetensors.numpy import load_file, save_file

    path = run / "predictions.safetensors"
    save_file({**load_file(path), "forget.confidences": np.ones(3)}, path)
    again(run)


def without_losses(run: Path, outputs: Path) -> None:
    from safetensors.numpy import load_file, save_file

    path = run / "predictions.safetensors"
    save_file({name: array for name, array in load_file(path).items() if name != "test.losses"}, path)
    again(run)


def no_safetensors(run: Path, outputs: Path) -> None:
    (run / "predictions.safetensors").write_bytes(b"{}")
    again(run)


def record_of_the_future(run: Path, outputs: Path) -> None:
    (run / "record.json").write_text(json.dumps({**record_of(run), "schema": 2}))


def failed(run: Path, outputs: Path) -> None:
    again(run, status="failed", error="why")


def unfinished(run: Path, outputs: Path) -> None:
    (run / "record.json").unlink()


def original_gone(run: Path, outputs: Path) -> None:
    shutil.rmtree(model_of(outputs, "original"))


def moved(run: Path, outputs: Path) -> None:
    shutil.rmtree(outputs / "models")


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lose("predictions.safetensors"), "predictions.safetensors is missing; run it again with force=true"),
        (forget_to_write("predictions.safetensors"), "holds no predictions (predictions.safetensors): run"),
        (forget_to_write("rows.safetensors"), "holds no rows of its forget set (rows.safetensors)"),
        (of_another_schema, "holds 'forget.confidences', which this version of mubench does not know"),
        (without_losses, "holds no losses of test"),
        (no_safetensors, "predictions.safetensors is not whole"),
        (record_of_the_future, "has schema 2, not 1"),
        (failed, "is failed: only complete runs can be scored (mubench status)"),
        (unfinished, "holds no record: only finished runs can be scored"),
        (original_gone, "whose predictions are read (mubench prepare)"),
        (moved, "the models of"),
    ],
)  # fmt: skip
def test_a_run_that_cannot_be_scored_gets_one_sentence(run, outputs, cli, spoil, sentence):
    spoil(run, outputs.folder)
    done = cli("score", str(run), "metrics=[tow]")
    assert done.status == 2 and sentence in done.err and len(done.err.splitlines()) == 1


def test_a_place_without_runs_is_refused(tmp_path, cli):
    done = cli("score", str(tmp_path / "nowhere"))
    assert done.status == 2 and "is neither a run's directory nor an outputs folder with runs" in done.err
    assert cli("score", f"out={tmp_path}").status == 2


def test_below_a_folder_one_bad_run_does_not_stop_the_others(run, outputs, cli):
    for name, text in (("a", "{"), ("b", None)):
        shutil.copytree(run, run.with_name(name))
        if text is not None:
            (run.with_name(name) / "record.json").write_text(text)
    (run.with_name("b") / "predictions.safetensors").write_bytes(b"other")
    done = cli("score", str(outputs.folder), "metrics=[tow]")
    assert done.status == 1 and record_of(run)["scored"]
    assert done.out.splitlines()[0] == str(run) and done.out.count(str(run.parent)) == 1
    assert "a/record.json is not whole" in done.err
    assert "predictions.safetensors is not what was written" in done.err
    assert done.err.count("not scored: ") == 2


# Hard predictions ----------------------------------------------------------------------------------


def test_diverged_predictions_give_null_with_a_reason(run, cli):
    """Values of the models that did not diverge stay."""
    before = record_of(run)["metrics"]

    def spoil(predictions):
        losses = predictions["forget"].losses.copy()
        losses[3] = np.nan
        return {**predictions, "forget": replace(predictions["forget"], losses=losses)}

    rewrite(run, spoil)
    assert cli("score", str(run), "metrics=[mia_auc,loss]").status == 0
    after = record_of(run)
    assert after["metrics"]["unlearned"]["mia_auc"] is after["metrics"]["unlearned"]["forget_loss"] is None
    assert after["metrics"]["unlearned"]["test_loss"] == before["unlearned"]["test_loss"]
    assert after["metrics"]["original"]["mia_auc"] == before["original"]["mia_auc"]
    assert after["reasons"]["unlearned.mia_auc"] == "1 of 67 losses are not finite"


def test_a_forget_set_larger_than_the_test_set(run, cli):
    """67 examples to forget, 20 to compare them with: an AUC of 1,340 pairs."""
    rewrite(
        run, lambda predictions: {**predictions, "test": evidence.take(predictions["test"], np.arange(20))}
    )
    assert cli("score", str(run), "metrics=[mia_auc,mia_tpr_1,mia_lr]").status == 0
    parts = evidence.load(run / "predictions.safetensors")
    losses = np.concatenate([parts["forget"].losses, parts["test"].losses])
    after = record_of(run)
    assert after["metrics"]["unlearned"]["mia_auc"] == pytest.approx(
        roc_auc_score([1] * 67 + [0] * 20, -losses)
    )
    assert after["reasons"]["unlearned.mia_tpr@1%"] == "1.0% of 20 non-members is less than one example"


def test_a_class_that_the_forget_set_lacks(run, cli):
    """No zero is forgotten: rows and predictions without them, of all models."""
    here = evidence.load(run / "predictions.safetensors")["forget"].targets != 0
    rows = evidence.load_rows(run)
    evidence.save_rows({**rows, "forget": rows["forget"][here]}, run)
    rewrite(
        run,
        lambda predictions: {
            **predictions,
            "forget": evidence.take(predictions["forget"], np.flatnonzero(here)),
        },
    )
    assert cli("score", str(run)).status == 0
    values = record_of(run)["metrics"]
    forget = evidence.load(run / "predictions.safetensors")["forget"]
    right = float(np.mean(forget.logits.argmax(axis=1) == forget.targets))
    assert values["unlearned"]["forget_accuracy"] == pytest.approx(right)
    assert all(values["relative"][name] is not None for name in ("tow", "avg_gap", "js_distance_forget"))


# Shadow models and cells ---------------------------------------------------------------------------


def test_shadow_models_that_are_there_by_now_are_read(run, outputs, cli):
    """Reasons for nulls give way to values; a shadow model that is not whole does not count."""
    assert "no shadow models" in record_of(run)["reasons"]["unlearned.lira_auc"]
    named = record_of(run)["models"]
    for role in ("original", "retrained"):
        home = outputs.folder / "models" / "digits" / "resnet-small" / "shadows"
        home /= f"{role}-seed42-{named[f'{role}_shadow'][:8]}"
        for number in range(5):
            another_model(
                model_of(outputs.folder, role),
                home / f"{number:04}",
                number + (100 if role == "original" else 0),
            )
        (home / "0004" / "record.json").unlink()
    assert cli("score", str(run), "metrics=[lira,rmia,lira_offline,signal_models]").status == 0
    after = record_of(run)
    for role in ("unlearned", "original", "retrained"):
        values = after["metrics"][role]
        assert values["lira_auc_low"] <= values["lira_auc"] <= values["lira_auc_high"]
        assert 0 <= values["rmia_auc"] <= 1 and values["lira_offline_leak"] is not None
    assert after["metrics"]["relative"]["signal_models"] == 5  # four shadow models, and the run's own
    assert not [name for name in after["reasons"] if name.endswith(("lira_auc", "offline_auc", "rmia_auc"))]


def cell_file(outputs: Path) -> Path:
    (found,) = (outputs / "cells" / "digits" / "resnet-small" / "neggrad" / "random-5").glob("????????.json")
    return found


def test_a_cell_is_scored_over_its_training_seeds(run, outputs, cli):
    """Two more training seeds; another unlearning seed and another forget set count for nothing."""
    others = [another_seed(outputs.folder, run, train) for train in (1, 2)]
    another_seed(outputs.folder, run, 2, unlearn=43)
    another_seed(outputs.folder, run, 3, forget_set="ab" * 32)
    before = [record_of(folder) for folder in (run, *others)]
    done = cli("score", str(outputs.folder), "metrics=[ulira]")
    content = read_json(cell_file(outputs.folder))
    assert done.status == 0 and done.out.splitlines()[0] == str(cell_file(outputs.folder))
    assert content["key"]["seed"]["train"] == [1, 2, 42] and content["key"]["seed"]["unlearn"] == [42] * 3
    assert content["key"]["method"] == "neggrad" and content["forget_set"]["size"] == 67
    assert content["runs"] == [before[place]["fingerprint"] for place in (1, 2, 0)]
    assert content["metrics"]["ulira_models"] == 3 and 0 <= content["metrics"]["ulira_auc"] <= 1
    assert [record_of(folder) for folder in (run, *others)] == before  # runs' own records stay


def test_a_cells_record_keeps_its_other_metrics_while_its_runs_are_the_same(run, outputs, cli):
    for train in (1, 2):
        another_seed(outputs.folder, run, train)
    cli("score", str(outputs.folder), "metrics=[ulira]")
    assert cli("score", str(outputs.folder), "metrics=[epsilon,challenge_score]").status == 0
    content = read_json(cell_file(outputs.folder))
    assert {"ulira_auc", "epsilon", "challenge_score"} < set(content["metrics"])
    assert content["metrics"]["epsilon_models"] == 3
    assert content["metrics"]["epsilon"] <= content["metrics"]["epsilon_ceiling"]
    another_seed(outputs.folder, run, 3)
    cli("score", str(outputs.folder), "metrics=[epsilon]")
    content = read_json(cell_file(outputs.folder))
    assert content["metrics"]["epsilon_models"] == 4 and "ulira_auc" not in content["metrics"]
    assert set(content["scored"]) == {"epsilon"}


def test_too_few_seeds_for_a_metric_are_null_with_a_reason(run, outputs, cli):
    another_seed(outputs.folder, run, 1)
    assert cli("score", str(outputs.folder), "metrics=[ulira]").status == 0
    content = read_json(cell_file(outputs.folder))
    assert content["metrics"]["ulira_auc"] is None
    assert content["reasons"]["ulira_auc"] == "the attack needs 3 training seeds, not 2"
