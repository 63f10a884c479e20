"""Records: read with checks, described by a schema, counted by `status`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from mubench.files import Corrupt, locked
from mubench.index import Brief, query
from mubench.jobs import note
from mubench.records import Record, finished, read
from mubench.report.status import state

ROOT = Path(__file__).parents[1]
GOLDEN = ROOT / "tests" / "golden" / "record.json"
KEY = {
    "task": "digits", "modality": "image", "model": "resnet-small", "method": "salun", "deletion": "random",
    "ratio": 5.0, "adapter": "none", "curriculum": "none", "optimizer": "adamw",
    "seed": {"forget": 1, "train": 1, "unlearn": 1, "eval": 1},
}  # fmt: skip


def record(**changes: Any) -> Record:
    return Record(KEY, "ab" * 32, {}, [], "2026-01-01T00:00:00+00:00", **changes)


def shape(content: dict[str, Any]) -> dict[str, Any]:
    """A record with types in place of values; of parts whose values may be null, the names."""
    named = ("config", "metrics", "cost", "environment")
    return {
        name: sorted(value) if name in named
        else "dict" if name == "reasons"
        else shape(value) if isinstance(value, dict)
        else type(value).__name__
        for name, value in content.items()
    }  # fmt: skip


def test_a_record_comes_back_as_it_was_written(tmp_path):
    (tmp_path / "forget_ids.npy").write_bytes(b"ids")
    written = record(metrics={"unlearned": {"test_accuracy": 0.5, "x": None}}, reasons={"unlearned.x": "why"})
    written.write(tmp_path)
    assert read(tmp_path) == written == finished(tmp_path) and set(written.files) == {"forget_ids.npy"}
    assert read(tmp_path / "nowhere") is None


def test_only_a_complete_record_with_whole_files_is_finished(tmp_path):
    (tmp_path / "predictions.safetensors").write_bytes(b"1234")
    record(status="failed", error="why").write(tmp_path)
    assert finished(tmp_path) is None and read(tmp_path) is not None
    record().write(tmp_path)
    (tmp_path / "predictions.safetensors").write_bytes(b"1235")
    with pytest.raises(Corrupt, match=r"predictions\.safetensors is not what was written"):
        finished(tmp_path)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [({"schema": 2}, "has schema 2, not 1"), ({"status": "done"}, "has the status 'done'"),
     ({"metrics": None}, "metrics is not an object"), ({"key": {}}, "key lacks task, modality"),
     ({"key": {**KEY, "seed": {"train": 1}}}, "key.seed lacks one of forget, train, unlearn, eval")],
)  # fmt: skip
def test_a_record_that_cannot_be_one_is_corrupt_and_named(tmp_path, change, sentence):
    record().write(tmp_path)
    path = tmp_path / "record.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(Corrupt, match=f"record.json.*{sentence}"):
        read(tmp_path)


def test_missing_fields_and_halves_are_corrupt(tmp_path):
    record().write(tmp_path)
    path = tmp_path / "record.json"
    content = json.loads(path.read_text())
    del content["fingerprint"], content["cost"]
    path.write_text(json.dumps(content))
    with pytest.raises(Corrupt, match="lacks fingerprint, cost"):
        read(tmp_path)
    path.write_text(path.read_text()[:100])
    with pytest.raises(Corrupt, match="is not whole"):
        read(tmp_path)


def test_a_record_from_before_models_were_named_is_read(tmp_path):
    record(models={"original": "ab" * 32, "retrained": None}).write(tmp_path)
    path = tmp_path / "record.json"
    content = json.loads(path.read_text())
    del content["models"]
    path.write_text(json.dumps(content))
    found = read(tmp_path)
    assert found is not None and found.models == {}


def test_query_tells_whole_corrupt_and_unfinished_apart(tmp_path, cli):
    for name in ("a", "b", "c", "d"):
        folder = tmp_path / "runs" / "digits" / name
        folder.mkdir(parents=True)
        (folder / "config.yaml").touch()
    record().write(tmp_path / "runs" / "digits" / "a")
    (tmp_path / "runs" / "digits" / "b" / "record.json").write_text("{")
    record(status="diverged", error="the loss became nan").write(tmp_path / "runs" / "digits" / "d")
    kinds = {folder.name: type(found) for folder, found in query(tmp_path)}
    assert kinds == {"a": Record, "b": Corrupt, "c": type(None), "d": Record}
    lines = cli("status", f"out={tmp_path}").out.splitlines()
    assert lines[0] == f"4 runs in {tmp_path}: 1 complete, 1 corrupt, 1 diverged, 1 unfinished"
    assert lines[1].startswith("  corrupt    digits/b: ") and "is not whole" in lines[1]
    assert lines[2] == "  unfinished digits/c: interrupted; the same command goes on"
    assert lines[3] == "  diverged   digits/d: the loss became nan"
    assert json.loads(cli("ls", "runs", "*/a", "--json", f"out={tmp_path}").out) == {
        str(tmp_path / "runs" / "digits" / "a"): "complete"
    }


def test_a_run_that_a_job_was_told_to_do_has_not_begun(tmp_path, cli):
    run = tmp_path / "runs" / "digits" / "a"
    note(run, "slurm", "17_3", tmp_path / "sweeps" / "17_3_0_log.out")
    assert [(folder, found) for folder, found in query(tmp_path)] == [(run, None)]
    lines = cli("status", f"out={tmp_path}").out.splitlines()
    assert lines[:2] == [f"1 runs in {tmp_path}: 1 not begun", "  not begun  digits/a"]
    assert lines[2].split()[:2] == ["slurm", "17_3,"] and lines[2].endswith("sweeps/17_3_0_log.out")
    (run / "config.yaml").touch()
    assert cli("status", f"out={tmp_path}").out.splitlines()[0].endswith(": 1 unfinished")


def test_a_run_whose_lock_is_held_is_running(tmp_path):
    folder = tmp_path / "runs" / "digits" / "a"
    with locked(folder / ".lock", lambda: None):
        assert state(Brief(folder, None)) == ("running", "")
    assert state(Brief(folder, None))[0] == "unfinished"


def test_a_real_record_follows_the_schema_and_keeps_its_shape(first):
    schema = json.loads((ROOT / "docs" / "record.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    content = json.loads((first.runs()[0] / "record.json").read_text(encoding="utf-8"))
    jsonschema.validate(content, schema)
    assert set(schema["properties"]) == set(Record.__dataclass_fields__)
    assert shape(content) == json.loads(GOLDEN.read_text(encoding="utf-8"))
