"""Runs told to W&B: read back with its own tool, continued, broken for real, uploaded to a server of ours."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
from command_line import ALONE, FAST, Done, mubench, record_of
from wandb_server import serving

from mubench import catalog
from mubench.errors import UsageError
from mubench.plan import Planner
from mubench.tracking import contents, reach
from mubench.tracking.kept import of_run
from mubench.tracking.weights_and_biases import WeightsAndBiases

pytestmark = pytest.mark.skipif(find_spec("wandb") is None, reason="the extra 'wandb' is not installed")

KEY = "0123456789abcdef" * 2 + "01234567"  # no key of anybody's
RUN = ("run", "method=neggrad", *FAST, ALONE)
ROLES = ("original", "retrained", "unlearned", "relative")
# A run, which fails if W&B gets into its process: it hooks into imports and exits.
UNHOOKED = "import sys, mubench.cli as c; s = c.main(sys.argv[1:]); sys.exit(s or 'wandb' in sys.modules)"
KILLERS = """
import os, signal, subprocess, time
from dataclasses import dataclass
from mubench.tracking.weights_and_biases import WeightsAndBiases


@dataclass
class OfTheRun(WeightsAndBiases):
    def epoch(self, line):
        super().epoch(line)
        if line["stage"] == "unlearn":
            time.sleep(1)
            os.kill(os.getpid(), signal.SIGKILL)


@dataclass
class OfTheService(WeightsAndBiases):
    def epoch(self, line):
        super().epoch(line)
        if line["stage"] == "unlearn":
            for _ in self._apart.heard("begin", 60):
                pass
            subprocess.run(["pkill", "-9", "-P", str(self._apart._process.pid)], check=True)


@dataclass
class Quarrel(WeightsAndBiases):
    def epoch(self, line):
        raise OSError(28, "No space left on device")
"""


@pytest.fixture(autouse=True)
def alone(monkeypatch, tmp_path_factory):
    """Neither the settings nor the key of who runs the tests."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", str(tmp_path_factory.getbasetemp() / "no-netrc"))
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")


@pytest.fixture(scope="module")
def offline(tmp_path_factory):
    """A run that trains its original, tracked without a key."""
    out = tmp_path_factory.mktemp("tracked") / "outputs"
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("WANDB_API_KEY", raising=False)
        patch.setenv("NETRC", str(out / "no-netrc"))
        words = ["tracking=wandb", "tracking.artifact=true", "tracking.tags=[night]", f"out={out}"]
        command = [sys.executable, "-c", UNHOOKED, *RUN, *words]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr
    return out, Done(ended.returncode, ended.stdout, ended.stderr)


def run_of(out: Path) -> Path:
    (folder,) = out.glob("runs/*/*/*/*/seed42-*")
    return folder


def read_back(folder: Path) -> dict[str, list[dict]]:
    """What W&B's own tool reads in a folder, by the type of record."""
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(folder)]
    logs = {**os.environ, "WANDB_DIR": str(folder.parent)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60, env=logs)
    found: dict[str, list[dict]] = {}
    for line in map(json.loads, done.stdout.splitlines()):
        found.setdefault(line["type"], []).append(line[line["type"]])
    return found


def history_of(read: dict[str, list[dict]]) -> list[dict]:
    """Lines as history.jsonl has them."""
    lines = []
    for item in (one["item"] for one in read.get("history", [])):
        stages = {name.partition("/")[0] for name in item if name.endswith("/epoch")}
        for stage in stages:
            values = {n.partition("/")[2]: v for n, v in item.items() if n.startswith(f"{stage}/")}
            lines.append({"stage": stage, **values})
    return lines


def killers(folder: Path) -> str:
    """The option that adds trackers which break things."""
    (folder / "tracking").mkdir(parents=True)
    (folder / "killers.py").write_text(KILLERS)
    for name in ("OfTheRun", "OfTheService", "Quarrel"):
        (folder / "tracking" / f"{name}.yaml").write_text(f"# x\nname: {name}\n_target_: killers.{name}\n")
    return f"--config-dir={folder}"


def test_what_a_run_leaves_is_what_wandb_reads(offline):
    out, done = offline
    folder, record = run_of(out), record_of(run_of(out))
    (kept,) = of_run(out, record["fingerprint"][:32])
    assert f"W&B: offline in {kept.folder} (no key" in done.err and done.err.count("W&B") == 1
    read = read_back(kept.folder)
    (run,) = read["run"]
    assert (run["run_id"], run["project"], run["resume"]) == (record["fingerprint"][:32], "mubench", True)
    assert run["run_group"] == "digits/resnet-small/neggrad/random-5" and run["job_type"] == "neggrad"
    assert set(run["tags"]) == {"digits", "resnet-small", "neggrad", "random-5", "night"}
    config = run["config"]["update"]
    assert config["method"] == record["config"]["method"] and config["seed"] == record["key"]["seed"]
    assert not {"out", "tracking", "force"} & set(config)
    written = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    assert history_of(read) == written and {line["stage"] for line in written} == {"original", "unlearn"}
    steps = {metric["glob_name"]: metric["step_metric"] for metric in read["metric"]}
    assert steps == {"original/*": "original/epoch", "unlearn/*": "unlearn/epoch"}
    assert read["exit"][0].get("exit_code", 0) == 0


def test_final_numbers_table_and_files_are_those_of_the_record(offline):
    out, _ = offline
    folder, record = run_of(out), record_of(run_of(out))
    (kept,) = of_run(out, record["fingerprint"][:32])
    read = read_back(kept.folder)
    summary = {name: value for one in read["summary"] for name, value in one["update"].items()}
    numbers = [(role, n, v) for role in ROLES for n, v in (record["metrics"].get(role) or {}).items()]
    assert len(numbers) > 40
    for group, name, value in [*numbers, *(("cost", n, v) for n, v in record["cost"].items())]:
        assert summary.get(f"{group}/{name}") == (None if value is None else pytest.approx(value))
    assert summary["status"] == "complete"
    found = {name: value for one in read["config"] for name, value in one["update"].items()}
    assert found["environment"] == record["environment"] and found["forget_set"] == record["forget_set"]
    table = json.loads(next(kept.folder.rglob("*.table.json")).read_text())
    rows = {row[0]: row[1:] for row in table["data"]}
    for name, (goal, original, retrained, unlearned, _) in rows.items():
        told = [record["metrics"][role][name] for role in ("original", "unlearned")]
        assert [original, unlearned] == pytest.approx(told) and retrained is None, (name, goal)
    (files,) = [one for one in read["artifact"] if one["type"] == "run"]
    sent = {one["path"] for one in files["manifest"]["contents"]}
    assert {"record.json", "config.yaml", "history.jsonl", "predictions.safetensors"} <= sent
    assert not any(name.startswith("model/") for name in sent)
    assert all(Path(one["local_path"]).parent == folder for one in files["manifest"]["contents"])


def test_weights_are_in_an_artifact_only_if_they_were_to_be_saved(offline, tmp_path):
    from mubench.records import Record

    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.safetensors").touch()
    record = Record(**record_of(run_of(offline[0])))
    assert list(contents.files(record, tmp_path)) == []
    record.config = {**record.config, "save_model": True}
    assert list(contents.files(record, tmp_path)) == ["model/model.safetensors"]


def test_tracking_changes_no_number_and_no_fingerprint(offline, cli):
    out, _ = offline
    record = record_of(run_of(out))
    (cell,) = Planner(catalog.config_dirs()).cells(RUN[1:], multirun=False)
    assert cell.fingerprint == record["fingerprint"] and cell.settings.tracking["name"] == "none"
    again = cli(*RUN, f"out={out}")
    assert again.status == 0 and again.err.endswith(f"already complete: {run_of(out)}\n")


def test_a_repeated_run_goes_on_online_and_the_key_stays_secret(offline, tmp_path, monkeypatch):
    """With a key and a server it is online at once, and the server is asked to resume the same W&B run."""
    out, _ = offline
    run_id = record_of(run_of(out))["fingerprint"][:32]
    with serving() as server:
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        done = mubench(*RUN, "tracking=wandb", "force=true", f"out={out}")
    assert done.status == 0 and f"W&B: {server.url}/me/mubench/runs/{run_id}\n" in done.err, done.err
    assert server.variables("RunResumeStatus")[0]["name"] == run_id
    assert server.variables("UpsertBucket")[0]["name"] == run_id
    assert [line["unlearn/epoch"] for line in server.lines[run_id] if "unlearn/epoch" in line] == [1]
    before, after = of_run(out, run_id)
    assert before.folder.name.startswith("offline-run-") and after.folder.name.startswith("run-")
    assert after.uploaded and not before.uploaded, done.err
    assert not any(KEY.encode() in path.read_bytes() for path in out.rglob("*") if path.is_file())
    assert KEY not in done.out + done.err and "host" not in read_back(after.folder)["run"][0]


def test_killed_then_repeated_untracked_all_of_it_is_uploaded_once(offline, tmp_path, monkeypatch, cli):
    out, _ = offline
    words = [*RUN, "seed.unlearn=5", f"out={out}"]
    done = mubench(*words, killers(tmp_path / "mine"), "tracking=OfTheRun")
    assert done.status == -9
    imported = "wandb" in sys.modules
    assert cli(*words).status == 0 and ("wandb" in sys.modules) == imported
    folder = next(path for path in out.glob("runs/*/*/*/*/seed5-*"))
    run_id = record_of(folder)["fingerprint"][:32]
    until = time.monotonic() + 60
    while not (read := read_back(of_run(out, run_id)[0].folder) if of_run(out, run_id) else {}).get("exit"):
        assert time.monotonic() < until
        time.sleep(0.2)
    assert [line["stage"] for line in history_of(read)] == ["unlearn"]
    assert read["exit"][0]["exit_code"] == 137
    listed = cli("sync", str(folder), "--dry-run")
    assert listed.out == f"1 finished runs, 1 to upload\n  {folder}: 1 W&B folders, its record\n"
    with serving() as server:
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        sent = cli("sync", str(folder))
        assert (sent.status, sent.out) == (0, f"{folder}: uploaded\n"), sent.err
        again = cli("sync", str(folder))
        assert (again.status, again.out) == (0, "1 finished runs, all of them uploaded\n")
    _, replayed = of_run(out, run_id)
    assert [one["name"] for one in server.variables("RunResumeStatus")] == [run_id, run_id]
    written = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    assert history_of(read_back(replayed.folder)) == written


@pytest.mark.skipif(not Path("/usr/bin/pkill").exists(), reason="pkill finds W&B's service")
def test_a_service_that_dies_is_a_warning(offline, tmp_path):
    out, _ = offline
    words = [*RUN, "seed.unlearn=6", f"out={out}"]
    done = mubench(*words, killers(tmp_path / "mine"), "tracking=OfTheService")
    assert done.status == 0 and "Traceback" not in done.err and done.err.count("warning") == 1, done.err
    assert "mubench: warning: tracking=OfTheService failed, the run goes on without it: " in done.err
    (folder,) = out.glob("runs/*/*/*/*/seed6-*")
    assert record_of(folder)["status"] == "complete" and "failed, the run" in (folder / "log.txt").read_text()


@pytest.mark.parametrize("broken", ["folder", "tracker"])
def test_a_failure_leaves_the_record_as_it_would_be(broken, offline, tmp_path, cli):
    out = tmp_path / "outputs"
    out.mkdir()
    (out / "models").symlink_to(offline[0] / "models")
    if broken == "folder":
        (out / "wandb").touch()
    tracking = {"folder": "wandb", "tracker": "Quarrel"}[broken]
    done = cli(*RUN, killers(tmp_path / "mine"), f"tracking={tracking}", f"out={out}")
    assert done.status == 0 and done.err.count("warning") == 1, done.err
    assert f"tracking={tracking} failed, the run goes on without it: " in done.err
    told, other = record_of(run_of(out)), record_of(run_of(offline[0]))
    assert told["metrics"] == other["metrics"] and set(told["files"]) == set(other["files"])


def test_sync_says_what_it_lacks(offline, cli, monkeypatch):
    out, _ = offline
    assert cli(*RUN, "seed.unlearn=7", f"out={out}").status == 0
    (folder,) = out.glob("runs/*/*/*/*/seed7-*")
    without = mubench("sync", str(folder))
    assert (without.status, without.out) == (2, "")
    assert without.err == "mubench: W&B cannot be reached: no key: WANDB_API_KEY or `wandb login`\n"
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{taken.getsockname()[1]}")
        away = mubench("sync", str(folder))
    assert away.status == 1
    sentence = "W&B cannot be reached: no answer from 127.0.0.1; 1 runs wait for the next mubench sync"
    assert away.err == f"mubench: {sentence}\n"
    waiting = cli("sync", str(folder), "--dry-run")
    assert waiting.out.endswith(": 1 W&B folders\n")
    wrong = cli("sync", str(folder), "projekt=x")
    assert (wrong.status, wrong.err) == (
        2,
        "mubench: sync has no setting 'projekt'. Did you mean 'project'?\n",
    )


def test_a_missing_package_is_told_before_any_work(tmp_path, cli, monkeypatch):
    monkeypatch.setattr("mubench.extras.find_spec", lambda name: None)
    done = cli(*RUN, "tracking=wandb", f"out={tmp_path / 'outputs'}")
    sentence = "tracking=wandb needs the package wandb: pip install 'mubench[wandb]'"
    assert (done.status, done.err) == (2, f"mubench: {sentence}\n")
    assert not (tmp_path / "outputs").exists()


def test_settings_are_checked():
    for wrong, sentence in [
        ({"mode": "onlin"}, "tracking.mode is one of auto, online, offline; not 'onlin'."),
        ({"patience": 0.0}, "tracking.patience must lie in (0, 86400], not 0"),
        ({"tags": ["x" * 65]}, f"tracking.tags: '{'x' * 65}' has not 1 to 64 characters"),
    ]:
        with pytest.raises(UsageError) as error:
            WeightsAndBiases(**wrong)
        assert str(error.value).startswith(sentence)


def test_a_network_that_swallows_everything_is_not_waited_for(monkeypatch):
    def swallowed(*_, **__):
        time.sleep(5)
        raise TimeoutError

    monkeypatch.setattr(reach, "SECONDS", 0.2)
    monkeypatch.setattr(socket, "create_connection", swallowed)
    started = time.monotonic()
    assert reach.without_answer("https://api.wandb.ai") == "no answer from api.wandb.ai"
    assert time.monotonic() - started < 2


def test_curves_are_a_row_for_each_number():
    found = {"original": {"noise": {"strength": [0.0, 0.5], "score": [1.0, None], "loss": "no losses"}}}
    assert contents.curves(found) == [
        ["original", "noise", 0, "strength", 0.0],
        ["original", "noise", 1, "strength", 0.5],
        ["original", "noise", 0, "score", 1.0],
        ["original", "noise", 1, "score", None],
    ]
