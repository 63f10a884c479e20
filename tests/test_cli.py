"""The command line without training: help, lists, mistakes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import EXTERNAL, FAST, mubench, record_of

from mubench.engine import Engine
from mubench.schema import Trainer

GOLDEN = Path(__file__).parent / "golden"
SENTENCES = json.loads((GOLDEN / "sentences.json").read_text(encoding="utf-8"))
HEAVY = ("torch", "transformers", "datasets", "hydra", "sklearn", "accelerate")


@pytest.mark.parametrize("command", SENTENCES)
def test_a_mistake_gets_one_sentence(command, cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = cli(*command.split())
    assert (done.status, done.out) == (2, "")
    assert done.err == f"mubench: {SENTENCES[command]}\n"
    assert list(tmp_path.iterdir()) == []


def test_debug_shows_the_traceback(cli, monkeypatch):
    monkeypatch.setenv("MUBENCH_DEBUG", "1")
    err = cli("run", "method=slun").err
    assert "Traceback" in err and err.endswith(f"mubench: {SENTENCES['run method=slun task=cifar100']}\n")


def test_a_model_of_another_modality_is_refused_with_those_that_fit(cli, tmp_path):
    done = cli("run", "model=wordy", f"--config-dir={EXTERNAL}", f"out={tmp_path / 'o'}")
    sentence = (
        "mubench: model 'wordy' reads text, task 'digits' gives image. Models for image: flat, resnet-small, "
    )
    assert done.status == 2 and done.err.startswith(sentence) and done.err.endswith("(mubench ls models)\n")
    assert not (tmp_path / "o").exists()


def test_a_method_whose_class_is_missing_is_refused(cli):
    done = cli("run", "method=lost", f"--config-dir={EXTERNAL}")
    assert (done.status, done.err) == (2, "mubench: method 'lost': cannot import nowhere.Lost\n")


def test_without_network_the_sentence_says_what_to_do_and_nothing_is_left(tmp_path):
    done = mubench("run", "task=cifar100", *FAST, f"out={tmp_path / 'o'}")
    assert (done.status, done.out) == (2, "")
    assert done.err == (
        "mubench: cannot load 'uoft-cs/cifar100' from the hub (offline?). Download it elsewhere and pass "
        "task.source=PATH, or try task=mini/cifar100.\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_an_outputs_folder_that_is_a_file_is_refused_before_any_work(cli, tmp_path):
    (tmp_path / "o").write_text("mine")
    for out in (tmp_path / "o", tmp_path / "o" / "deeper"):
        done = cli("run", *FAST, f"out={out}")
        assert (done.status, done.err) == (2, f"mubench: out={out}: {tmp_path / 'o'} is not a folder\n")


def test_help_is_as_printed_in_the_documentation(cli):
    expected = (GOLDEN / "help.txt").read_text(encoding="utf-8")
    for words in ((), ("--help",), ("help",)):
        assert cli(*words).out == expected
    for verb in ("run", "prepare", "ls", "show", "table", "verify", "status", "env", "connect"):
        done = cli(verb, "--help")
        assert done.status == 0 and done.out.startswith(f"usage: mubench {verb}")
        assert f"\n  {verb} " in expected


QUICK = (
    "--help", "run --help", "verify --help", "ls", "ls metrics", "ls runs", "show method salun", "status",
)  # fmt: skip


@pytest.mark.parametrize("words", QUICK)
def test_what_must_be_quick_imports_nothing_heavy(words, tmp_path):
    code = (
        f"import sys; from mubench.cli import main; assert not main({words.split()!r}); "
        f"loaded = [name for name in {HEAVY!r} if name in sys.modules]; assert not loaded, loaded"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_ls_names_and_describes(cli):
    overview = cli("ls").out
    for heading in ("tasks", "models", "methods", "deletions", "sweeps"):
        assert f"{heading}\n" in overview
    methods = json.loads(cli("ls", "methods", "--json").out)
    assert set(methods) >= {"original", "retrain", "salun"} and all(methods.values())
    assert set(json.loads(cli("ls", "methods", "neggrad*", "--json").out)) == {"neggrad", "neggrad_plus"}
    assert all(name.startswith("mini/") for name in json.loads(cli("ls", "tasks", "mini/*", "--json").out))
    assert "D_r" in json.loads(cli("ls", "metrics", "--json").out)["knowledge_gap"]
    assert set(json.loads(cli("ls", "--json").out)) == {"tasks", "models", "methods", "deletions", "sweeps"}


def test_a_folder_of_ones_own_shows_in_ls(cli):
    listed = cli("ls", "methods", f"--config-dir={EXTERNAL}").out
    assert re.search(r"^slowly +F +any +A method from outside: slowly$", listed, re.MULTILINE)
    assert "slowly" not in cli("ls", "methods").out


def test_show_prints_settings_and_facts(cli):
    method = cli("show", "method", "salun").out
    assert method.startswith("Random labels") and "  ratio: 0.5" in method and "salun.yaml)" in method
    assert "\ncomputes      min mean CE" in method and "\nsource        Fan et al. (2024). SalUn: " in method
    metric = cli("show", "metric", "knowledge_gap").out
    assert "\ngoal          ≈ as the retrained model" in metric and "\nsource        MU-Bench" in metric


def test_env_tells_versions_and_device(cli):
    facts = dict(line.split(maxsplit=1) for line in cli("env").out.splitlines())
    assert {"mubench", "python", "torch", "hydra-core", "git", "device", "precision"} <= set(facts)
    assert facts["threads"].isdigit() and facts["vectors"]


def test_a_record_says_with_how_many_threads_it_was_made(first):
    assert record_of(first.runs()[0])["environment"]["threads"] == "1"  # trainer.threads=1 was typed
    assert Engine(Trainer(threads=3)).describe()["threads"] == "3"


def test_dry_run_prints_the_resolved_config_and_writes_nothing(cli, tmp_path):
    import yaml

    out = tmp_path / "o"
    config = yaml.safe_load(cli("run", "--dry-run", "deletion.ratio=7", f"out={out}").out)
    assert config["deletion"] == {
        "name": "random", "_target_": "mubench.deletion.random.Random", "ratio": 7.0, "balance": "class",
    }  # fmt: skip
    assert config["unlearning"]["batch_size"] == config["training"]["batch_size"]
    assert "${" not in str(config)
    assert not out.exists()
