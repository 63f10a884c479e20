"""Model cards and their way to the hub: what they say, what they must not, and the requests that are made."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from huggingface_hub import ModelCard
from omegaconf import OmegaConf
from test_submissions import TIME, run

from mubench.records import Record

TOKEN = "hf_" + "Z9y8" * 8
IDS = b"forgotten-17,forgotten-23"


def kept(folder: Path, **changes: Any) -> Path:
    """A finished run with save_model=true, its weights four bytes."""
    made = run()
    config = {
        **made.config,
        "task": {"name": "digits", "repository": "ylecun/mnist", "config": "mnist", "revision": "ab" * 20,
                 "source": str(folder / "data")},
        "model": {"name": "m", "checkpoint": "google/vit-base"},
        "method": {"name": "salun", "_target_": "mubench.methods.salun.SalUn", "ratio": 0.5},
        "unlearning": {"epochs": 2, "lr": 0.001},
        "out": str(folder),
    }  # fmt: skip
    made = replace(
        made, config=config, forget_set={**made.forget_set, "percent": 10.0}, finished=TIME, **changes
    )
    return _write(folder / "runs" / "digits" / "m" / "salun" / "random-5" / "seed1", made)


def _write(folder: Path, made: Record) -> Path:
    (folder / "model").mkdir(parents=True)
    names = ("adapter_model.safetensors", "adapter_config.json")
    for name in names if made.key["adapter"] != "none" else ("model.safetensors",):
        (folder / "model" / name).write_bytes(b"ABCD")
    (folder / "config.yaml").write_text(OmegaConf.to_yaml(made.config))
    (folder / "forget_ids.npy").write_bytes(IDS)
    (folder / "predictions.safetensors").write_bytes(b"predictions")
    made.write(folder)
    return folder


def test_a_card_says_what_was_done_and_with_what_result(tmp_path, cli):
    done = cli("card", str(kept(tmp_path)), f"--to={tmp_path / 'card'}")
    assert done.status == 0 and done.out.strip() == str(tmp_path / "card" / "README.md"), done.err
    card = ModelCard.load(tmp_path / "card" / "README.md")
    assert (card.data.library_name, card.data.base_model) == ("mubench", "google/vit-base")
    assert card.data.datasets == ["ylecun/mnist"] and "machine-unlearning" in card.data.tags
    assert (card.data.license, card.data.metrics) == ("unknown", ["accuracy"])
    values = {result.metric_type: result.metric_value for result in card.data.eval_results}
    assert values == {"test_accuracy": 0.9, "mia_auc": 0.5}
    (revision,) = {result.dataset_revision for result in card.data.eval_results}
    assert revision == "ab" * 20
    for told in (
        "| examples forgotten | 1 |", "| share | 10 % of the training set |", run().forget_set["sha256"],
        "| `test_accuracy` ↑ | 0.900 | 0.500 | 0.900 | +0.400 |", "@inproceedings{fan2024", "ratio: 0.5",
        "| unlearning, in seconds | 2.000 |", "one run with one seed", "no certificate",
        "- `mia_auc`: AUC of telling D_f from test", "D_f are the examples that were to be forgotten",
        "does not know the licence", "from mubench.unlearned import load", "`mia_tpr@0.1%` (0.1% of 360",
    ):  # fmt: skip
        assert told in card.text, told


def test_the_metadata_name_nothing_of_the_hub_that_is_not_there(tmp_path, cli):
    """A generated twin has a revision of its own and a name that would be a data set of somebody's."""
    made = run()
    made.key["task"] = made.config.setdefault("task", {})["name"] = "mini/imdb"
    made.config["task"]["revision"] = ""
    folder = _write(tmp_path / "runs" / "a", replace(made, finished=TIME))
    cli("card", str(folder), f"--to={tmp_path / 'card'}")
    (result, *_) = ModelCard.load(tmp_path / "card" / "README.md").data.eval_results or []
    assert (result.dataset_type, result.dataset_name) == ("mini-imdb", "mini/imdb")
    assert result.dataset_revision is None
    assert "revision" not in (tmp_path / "card" / "README.md").read_text()


def test_a_card_names_no_forgotten_example_and_no_place(tmp_path, cli):
    text = cli("card", str(kept(tmp_path))).out
    assert str(tmp_path) not in text and not any(one in text for one in IDS.decode().split(","))
    assert text.startswith("---\n") and "USER/NAME" in text


def test_a_card_of_an_adapter_says_that_the_original_is_missing(tmp_path, cli):
    key = {**run().key, "adapter": "lora"}
    text = cli("card", str(kept(tmp_path, key=key))).out
    assert (
        "`adapter_config.json`, `adapter_model.safetensors`" in text and "it remembers what was to be" in text
    )


def test_a_card_tells_of_a_missing_reference(tmp_path, cli):
    metrics = {**run().metrics, "retrained": None}
    assert "There is no retrained model beside it" in cli("card", str(kept(tmp_path, metrics=metrics))).out


def test_only_a_run_that_kept_its_model_has_a_card(tmp_path, cli):
    folder = kept(tmp_path)
    (folder / "model" / "model.safetensors").write_bytes(b"ABCE")
    for verb in (["card"], ["push", "me/x", "--dry-run"]):
        done = cli(verb[0], str(folder), *verb[1:])
        assert done.status == 2 and "is not what was written" in done.err
    (folder / "model" / "model.safetensors").unlink()
    run().write(folder)
    done = cli("card", str(folder))
    assert (
        done.status == 2 and "kept no model; repeat it: mubench run method=salun save_model=true" in done.err
    )
    assert cli("card", str(tmp_path)).status == 2


def test_a_dry_run_lists_what_would_be_sent_and_sends_nothing(tmp_path, cli, monkeypatch):
    monkeypatch.delenv("HF_TOKEN", raising=False)
    done = cli("push", str(kept(tmp_path)), "me/x", "--private", "--dry-run")
    first, *lines = done.out.splitlines()
    assert done.status == 0 and first == "would send to me/x (private):"
    names = [line.split()[0] for line in lines]
    assert names == ["README.md", "config.yaml", "record.json", "model.safetensors"]
    assert lines[-1].split()[1:] == ["4", "bytes"]


@pytest.mark.parametrize("repository", ["x", "a/b/c", "me/../x", "-a/b", "me/" + "x" * 120])
def test_a_bad_name_of_a_repository_is_told(repository, tmp_path, cli):
    if repository.startswith("-"):
        repository = "a/-b"
    done = cli("push", str(kept(tmp_path)), repository, "--dry-run")
    assert done.status == 2 and "is no name of a repository" in done.err and len(done.err.splitlines()) == 1


class Hub(ThreadingHTTPServer):
    """The hub's API as far as a push asks it; keeps what it was sent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, str, str, bytes]] = []
        self.public = False
        self.refuses = False

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    """Answers of the hub."""

    server: Hub

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.asked.append((self.command, self.path, self.headers.get("Authorization", ""), body))
        status, answer = 200, self._of(body)
        if self.server.refuses:
            status, answer = 403, {"error": f"no right to write, {self.headers.get('Authorization')}"}
        text = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = _answer  # noqa: N815

    def _of(self, body: bytes) -> dict[str, Any]:
        if self.path == "/api/repos/create":
            return {"url": f"{self.server.address}/me/x", "name": "me/x"}
        if "/preupload/" in self.path:
            names = [file["path"] for file in json.loads(body)["files"]]
            return {"files": [{"path": n, "uploadMode": "regular", "shouldIgnore": False} for n in names]}
        if "/commit/" in self.path:
            return {"commitUrl": f"{self.server.address}/me/x/commit/{'c' * 40}", "commitOid": "c" * 40}
        if self.path == "/api/validate-yaml":
            return {"errors": [], "warnings": []}
        return {"id": "me/x", "modelId": "me/x", "private": not self.server.public, "siblings": []}

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture
def hub() -> Iterator[Hub]:
    server = Hub()
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def push(hub: Hub, tmp_path: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`mubench push` in a process of its own, its hub the one given."""
    known = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    place = {"HF_ENDPOINT": hub.address, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    command = [sys.executable, "-m", "mubench", "push", *words]
    return subprocess.run(
        command, env={**known, **place, **environment}, capture_output=True, text=True, timeout=120
    )


@pytest.fixture
def near(hub, tmp_path, monkeypatch) -> Hub:
    """The same hub for pushes in this process."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", hub.address)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    return hub


def test_a_push_is_one_commit_of_the_model_its_card_and_its_settings(hub, tmp_path):
    done = push(hub, tmp_path, str(kept(tmp_path)), "me/x", "--private", HF_TOKEN=TOKEN)
    assert (done.returncode, done.stdout) == (0, f"{hub.address}/me/x/commit/{'c' * 40}\n"), done.stderr
    assert TOKEN not in done.stdout + done.stderr
    (created,) = [json.loads(body) for _, path, _, body in hub.asked if path == "/api/repos/create"]
    assert created["name"] == "x" and created["organization"] == "me"
    assert created.get("private") is True or created.get("visibility") == "private"
    (sent,) = [body for _, path, _, body in hub.asked if "/commit/" in path]
    head, *files = [json.loads(line) for line in sent.splitlines()]
    assert head["value"]["summary"] == "Add m on digits, unlearned by salun (random 5 %)"
    contents = {file["value"]["path"]: base64.b64decode(file["value"]["content"]) for file in files}
    assert sorted(contents) == ["README.md", "config.yaml", "model.safetensors", "record.json"]
    assert contents["model.safetensors"] == b"ABCD" and b"me/x" in contents["README.md"]
    everything = b"".join(contents.values())
    assert (
        str(tmp_path).encode() not in everything
        and IDS not in everything
        and TOKEN.encode() not in everything
    )
    writes = [given for method, _, given, _ in hub.asked if method == "POST"]
    assert f"Bearer {TOKEN}" in writes


def test_a_public_repository_is_not_taken_for_a_private_one(near, tmp_path, cli):
    near.public = True
    done = cli("push", str(kept(tmp_path)), "me/x", "--private")
    assert done.status == 2 and "there already and public" in done.err
    assert near.asked and not [path for _, path, _, _ in near.asked if "/commit/" in path]


def test_what_the_hub_says_against_it_is_one_sentence_without_the_token(near, tmp_path, cli, monkeypatch):
    near.refuses = True
    folder = str(kept(tmp_path))
    done = cli("push", folder, "me/x")
    assert done.status == 1 and done.err.startswith("mubench: the hub did not take me/x: "), done.err
    assert near.asked and len(done.err.splitlines()) == 1 and TOKEN not in done.out + done.err
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    done = cli("push", folder, "me/x")
    assert done.status == 1 and done.err.startswith("mubench: the hub did not take me/x: "), done.err


def test_a_push_without_a_token_or_offline_is_one_sentence(near, tmp_path, cli, monkeypatch):
    from huggingface_hub import constants

    folder = str(kept(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    done = cli("push", folder, "me/x")
    assert done.status == 2 and "HF_HUB_OFFLINE=1" in done.err
    monkeypatch.delenv("HF_TOKEN")
    done = cli("push", folder, "me/x")
    assert done.status == 2 and "the hub wants a token" in done.err and not near.asked


def test_an_uploaded_model_is_loaded_as_the_card_says(tmp_path):
    import torch
    from test_config import config

    from mubench.config import without
    from mubench.errors import UsageError
    from mubench.models import save
    from mubench.progress import Reporter
    from mubench.unlearned import load
    from mubench.workbench import lay_out

    found = config("trainer.device=cpu", "trainer.threads=1", f"out={tmp_path / 'out'}")
    network = lay_out(found, Reporter(quiet=True)).spec.fresh(5)
    save(network, tmp_path / "x" / "model.safetensors")
    public = without(found.resolved, ["out", "tracking", "task.source"])
    (tmp_path / "x" / "config.yaml").write_text(OmegaConf.to_yaml(public))
    loaded = load(tmp_path / "x", f"out={tmp_path / 'out'}")
    weights, same = network.state_dict(), loaded.state_dict()
    assert not loaded.training and weights.keys() == same.keys()
    assert all(torch.equal(weights[name], same[name]) for name in weights)
    with pytest.raises(UsageError, match=r"no config\.yaml"):
        load(tmp_path)
    with pytest.raises(UsageError, match="no weights that fit"):
        load(tmp_path / "x", f"out={tmp_path / 'out'}", "model.build.widths=[8,8,8]")
