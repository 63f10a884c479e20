"""Submissions: what goes out holds nothing private, what comes in is refused row by row unless it is good."""

from __future__ import annotations

import getpass
import hashlib
import json
import stat
import struct
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from test_plots import written
from test_table import record, sha

from mubench.files import Corrupt
from mubench.records import Record, finished, query, read
from mubench.submissions import opened, strict
from mubench.submissions.found import group_of, submitted
from mubench.submissions.public import public, tells
from mubench.submissions.requirements import schema

TIME = "2026-11-28T12:00:00+00:00"
BIDI = "‮"  # turns the direction of what follows
SECRET = "hf_" + "A1b2" * 8


def run(method: str = "salun", train: int = 1, **changes: Any) -> Record:
    """A run that can be submitted."""
    made = record(method, {"test_accuracy": 0.9, "mia_auc": 0.5, "mia_tpr@0.1%": None}, {"train": train})
    complete = {
        "started": TIME,
        "cost": {"unlearn_seconds": 2.0, "retrain_seconds": 9.0},
        "models": {"original": sha(("o", train)), "retrained": sha(("r", train))},
        "reasons": {"unlearned.mia_tpr@0.1%": "0.1% of 360 non-members is less than one example"},
        "environment": {"mubench": "0.1.0", "device": "cpu (CPU, 2 threads)"},
    }
    return replace(made, **(complete | changes))


def outputs(folder: Path, *runs: Record) -> Path:
    """An outputs folder with these runs, their predictions beside them."""
    for place, one in enumerate(runs):
        _write(folder, one, place)
    return folder


def _write(folder: Path, one: Record, place: int) -> None:
    home = folder / "runs" / one.key["task"] / "m" / one.key["method"] / "random-5" / str(place)
    home.mkdir(parents=True)
    (home / "config.yaml").write_text("{}\n")
    (home / "predictions.safetensors").write_bytes(b"predictions")
    (home / "curves.json").write_text('{"schema": 1, "curves": {}}')
    one.finished = one.finished or TIME
    one.write(home)


@pytest.fixture
def exported(tmp_path, cli):
    """A good submission of two runs."""
    out = outputs(tmp_path / "mine", run(), run("scrub"))
    done = cli("export", "--name=alpha", "--contact", "us@x.org", f"--to={tmp_path / 'a.zip'}", f"out={out}")
    assert done.status == 0, done.err
    return tmp_path / "a.zip"


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def forged(path: Path, files: dict[str, bytes], manifest: dict[str, Any] | None = None, **more: Any) -> Path:
    """A zip of these members, whose manifest has the right hashes unless others are given."""
    given = json.loads(files["manifest.json"]) if "manifest.json" in files else {}
    others = {name: text for name, text in files.items() if name != "manifest.json"}
    named = [name for name in others if name.isprintable()]
    given["files"] = {name: hashlib.sha256(others[name]).hexdigest() for name in named}
    with zipfile.ZipFile(path, "w", more.get("packed", zipfile.ZIP_DEFLATED)) as archive:
        archive.writestr("manifest.json", json.dumps({**given, **(manifest or {})}))
        for name, text in others.items():
            archive.writestr(zipfile.ZipInfo(name) if name.endswith("/") else name, text)
    return path


def changed(files: dict[str, bytes], edit: Any) -> tuple[dict[str, bytes], str]:
    """The members with the first run's record edited (an object or its text), and that run's fingerprint."""
    name = sorted(name for name in files if name.endswith("record.json"))[0]
    text = files[name].decode()
    made = edit(json.loads(text)) if edit.__code__.co_varnames[0] == "r" else edit(text)
    content = (
        made
        if isinstance(made, bytes)
        else made.encode()
        if isinstance(made, str)
        else json.dumps(made).encode()
    )
    return {**files, name: content}, name.split("/")[1]


def with_(record: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """The record with a value at a dotted place; of a metric whose name has dots, none."""
    *parents, leaf = path.split(".")
    node = record
    for parent in parents:
        node = node[parent]
    node[leaf] = value
    return record


def test_a_submission_is_the_same_bytes_and_holds_records_alone(exported, tmp_path, cli):
    files = members(exported)
    assert sorted({name.rpartition("/")[2] for name in files}) == [
        "curves.json",
        "manifest.json",
        "record.json",
    ]
    manifest = json.loads(files["manifest.json"])
    assert (manifest["group"], manifest["contact"], manifest["when"]) == ("alpha", "us@x.org", TIME)
    assert manifest["versions"] == ["0.1.0"] and len(manifest["files"]) == 4
    assert all(hashlib.sha256(files[name]).hexdigest() == value for name, value in manifest["files"].items())
    again = tmp_path / "again.zip"
    cli("export", "--name=alpha", "--contact=us@x.org", f"--to={again}", f"out={tmp_path / 'mine'}")
    assert again.read_bytes() == exported.read_bytes()


def test_nothing_private_goes_out(tmp_path, cli):
    home = "/".join(("", "home", "somebody"))
    config = {
        "out": f"{home}/out",
        "task": {"name": "digits", "source": f"{home}/data", "ood_source": None},
        "model": {"name": "m", "checkpoint": f"{home}/weights"},
        "method": {"name": "salun", "list": "../mine/list.txt", "hf_token": SECRET, "seen": f"a {SECRET} b",
                   "template": "<s>{prompt}</s>\nAnswer:", "share": "D:\\data", "pad_token": "<pad>"},
        "tracking": {"name": "wandb", "entity": "our-secret-team"},
        "original": "bert-base-uncased",
    }  # fmt: skip
    private = run(
        config={**run().config, **config},
        overrides=["method=salun", f"out={home}/out", "tracking=wandb", "+method.list=../mine/list.txt"],
        reasons={"unlearned.x": f"no file {home}/x of root@node17"},
    )
    done = cli("export", "--name=alpha", f"--to={tmp_path / 'p.zip'}", f"out={outputs(tmp_path, private)}")
    assert done.status == 0, done.err
    text = b"".join(members(tmp_path / "p.zip").values()).decode()
    for word in (home, "somebody", SECRET, "our-secret-team", "mine/list", "node17", "D:", str(tmp_path)):
        assert word not in text, word
    (content,) = [json.loads(t) for n, t in members(tmp_path / "p.zip").items() if n.endswith("record.json")]
    assert content["overrides"] == ["method=salun"] and content["config"]["original"] == "bert-base-uncased"
    assert content["config"]["method"] == {
        "name": "salun",
        "template": "<s>{prompt}</s>\nAnswer:",
        "pad_token": "<pad>",
    }
    told = json.loads(members(tmp_path / "p.zip")["manifest.json"])["stripped"]
    (names,) = told.values()
    assert {"config.out", "config.tracking", "config.method.hf_token", "overrides", "reasons"} <= set(names)


TOLD = ["/".join(("", "home", "me")), "[/data/x]", "/data", "~/x", "~me/x", "./x", "../x", "C:\\x",
        "\\\\host\\x", "file:///x", "me@node17", "https://me:word@host.org/x", f"a {SECRET}",
        "x=/data/y"]  # fmt: skip
QUIET = ["google/vit-base", "<s>[INST] {prompt} [/INST]</s>", "a/b", "n/a", "https://arxiv.org/abs/2406.14796",
         "mia_tpr@0.1%", "and / or", "1e-5", "glob(mini/*)"]  # fmt: skip


@pytest.mark.parametrize("text", TOLD + QUIET)
def test_what_tells_a_place_or_a_key_is_told_from_what_does_not(text):
    assert tells(text) == (text in TOLD)


def test_names_of_this_user_and_host_are_taken_out(monkeypatch):
    from mubench.submissions import public as module

    monkeypatch.setattr(module.socket, "gethostname", lambda: "gpu-node-3.lab")
    monkeypatch.setattr(getpass, "getuser", lambda: "mallory")
    module._mine.cache_clear()
    content, _ = public(run(reasons={"x": "run by mallory on gpu-node-3"}))
    module._mine.cache_clear()
    assert content["reasons"] == {"x": "run by [hidden] on [hidden]"}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"forget_set": {"size": 1, "sha256": None}}, "forget_set.sha256"),
        ({"forget_set": {"size": 1, "retain": 9}}, "no hash of the forget set"),
        ({"metrics": {"unlearned": {"a": 1.0}, "retrained": None}}, "no retrained model beside it"),
        ({"models": {"original": sha("o"), "retrained": None}}, "no retrained model beside it"),
        ({"models": {}}, "no retrained model beside it"),
        ({"cost": {"unlearn_seconds": 2.0}}, "no cost.retrain_seconds"),
        ({"cost": {"unlearn_seconds": -2.0, "retrain_seconds": 1.0}}, "below 0"),
        ({"started": "now"}, "no time"),
    ],
)  # fmt: skip
def test_a_run_that_lacks_what_a_row_needs_is_left_out_with_its_reason(changes, reason, tmp_path, cli):
    out = outputs(tmp_path, run("scrub"), run(**changes))
    done = cli("export", "--name=alpha", f"out={out}")
    if reason == "no hash of the forget set" or "sha256" in reason:  # a table leaves these out before
        assert "has no metrics or no forget set" in done.err
        return
    assert done.status == 1 and "left out:" in done.err and reason in done.err, done.err
    assert done.out.startswith("1 runs of alpha") and (tmp_path / "submissions" / "alpha.zip").is_file()


@pytest.mark.parametrize("words", [[], ["--name=../up"], ["--name=nul"], ["--name=a", "--contact=a\x1b[2J"]])
def test_bad_words_of_an_export_are_refused_before_any_work(words, tmp_path, cli):
    done = cli("export", *words, f"out={outputs(tmp_path, run())}")
    assert done.status == 2 and len(done.err.splitlines()) == 1 and "\x1b" not in done.err
    assert not (tmp_path / "submissions").exists()


def test_imported_runs_stand_beside_ones_own_and_are_never_taken_for_them(exported, tmp_path, cli):
    out = outputs(tmp_path / "yours", run("ssd"))
    done = cli("import", str(exported), f"out={out}")
    assert (done.status, done.err) == (0, "") and "2 runs new, 0 there already, 0 refused" in done.out
    table = cli("table", f"out={out}").out
    assert all(method in table for method in ("salun", "scrub", "ssd"))
    assert len(list(query(out))) == 1 and "1 runs in" in cli("status", f"out={out}").out
    for folder, _ in submitted(out):
        assert group_of(folder) == "alpha" and not (folder / "config.yaml").exists()
        with pytest.raises(Corrupt, match="is missing"):
            finished(folder)
        assert cli("score", str(folder), f"out={out}").status == 2
    assert all(group_of(folder) is None for folder, _ in query(out))
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    again = cli("import", str(exported.parent), f"out={out}")
    assert again.status == 0 and "0 runs new, 2 there already" in again.out
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_sync_uploads_nobody_elses_runs(exported, tmp_path, cli):
    cli("import", str(exported), f"out={tmp_path / 'out'}")
    ((folder, _), *_) = submitted(tmp_path / "out")
    done = cli("sync", str(folder), "--dry-run", f"out={tmp_path / 'out'}")
    assert done.status == 2 and "is a run of the group alpha: sync uploads your own runs only" in done.err


THERE = "a" * 40
CODE = {
    "the same": ({"git": THERE, "mubench": "0.1.0"}, THERE, True),
    "another commit": ({"git": "b" * 40, "mubench": "0.1.0"}, THERE, False),
    "changed there": ({"git": f"{THERE}+dirty", "mubench": "0.1.0"}, THERE, False),
    "changed here and there": ({"git": f"{THERE}+dirty", "mubench": "0.1.0"}, f"{THERE}+dirty", False),
    "another version": ({"git": THERE, "mubench": "0.0.9"}, THERE, False),
    "nothing known": ({"git": None, "mubench": "0.1.0"}, None, False),
}


@pytest.mark.parametrize("case", CODE)
def test_anothers_run_is_marked_verified_only_if_this_very_code_made_it(case, tmp_path, cli, monkeypatch):
    from mubench import verified
    from mubench.report import proofs

    environment, here, marked = CODE[case]
    monkeypatch.setattr(proofs, "commit", lambda: here)
    monkeypatch.setattr(proofs.mubench, "__version__", "0.1.0")
    settings = {"name": "salun", "_target_": "mubench.methods.salun.SalUn", "ratio": 0.5}
    config = {**run().config, "method": settings}
    theirs = outputs(tmp_path / "theirs", run(config=config, environment=environment))
    cli("export", "--name=alpha", f"--to={tmp_path / 'a.zip'}", f"out={theirs}")
    for out in (theirs, tmp_path / "mine"):
        verified.store(out, settings, [], {"digits": {"passed": True}})
    cli("import", str(tmp_path / "a.zip"), f"out={tmp_path / 'mine'}")
    for out, expected in ((theirs, True), (tmp_path / "mine", marked)):  # of one's own: the code as it is now
        rows = json.loads(cli("table", "--format=json", f"out={out}").out)
        assert {row["method"]: row["verified"] for row in rows}["salun"] == expected
        assert cli("report", "--plain", f"out={out}").status == 0
        page = (out / "reports" / "report.html").read_text(encoding="utf-8")
        assert ('class="tick"' in page) == expected


def test_a_method_from_outside_is_never_known_to_be_the_same(tmp_path, cli, monkeypatch):
    from mubench import verified
    from mubench.report import proofs

    monkeypatch.setattr(proofs, "commit", lambda: THERE)
    settings = {"name": "salun", "_target_": "theirs.SalUn"}
    made = run(config={**run().config, "method": settings}, environment=CODE["the same"][0])
    theirs = outputs(tmp_path / "theirs", made)
    cli("export", "--name=alpha", f"--to={tmp_path / 'a.zip'}", f"out={theirs}")
    cli("import", str(tmp_path / "a.zip"), f"out={tmp_path / 'mine'}")
    verified.store(tmp_path / "mine", settings, [], {"digits": {"passed": True}})
    rows = json.loads(cli("table", "--format=json", f"out={tmp_path / 'mine'}").out)
    assert not any(row["verified"] for row in rows)


def test_ones_own_runs_and_anothers_share_a_row_wherever_their_data_lay(tmp_path, cli):
    def made(train: int, source: str | None) -> Record:
        config = {
            **run().config,
            "task": {"name": "digits", "source": source},
            "seed": run(train=train).config["seed"],
        }
        return run(train=train, config=config)

    theirs = outputs(tmp_path / "theirs", made(1, "/data/here"))
    mine = outputs(tmp_path / "mine", made(2, "/data/there"))
    cli("export", "--name=alpha", f"--to={tmp_path / 'a.zip'}", f"out={theirs}")
    cli("import", str(tmp_path / "a.zip"), f"out={mine}")
    done = cli("table", "--format=json", f"out={mine}")
    rows = {row["method"]: row["runs"] for row in json.loads(done.out)}
    assert rows["salun"] == 2, done.out
    assert "mubench: 1 of 2 runs are what others say: alpha 1" in done.err
    own = cli("table", "--format=json", "group=-", f"out={mine}")
    assert {row["runs"] for row in json.loads(own.out)} == {1} and own.err == ""


def test_a_folder_of_submissions_is_a_leaderboard_of_its_own(exported, tmp_path, cli):
    other = outputs(tmp_path / "other", run("ssd"), run("salun"))
    cli("export", "--name=beta", f"--to={tmp_path / 'b.zip'}", f"out={other}")
    board = tmp_path / "board"
    assert cli("import", str(tmp_path), f"out={board}").status == 0
    rows = json.loads(cli("table", "--format=json", f"out={board}").out)
    assert {row["method"]: row["runs"] for row in rows if row["method"] in ("salun", "scrub", "ssd")} == {
        "salun": 1, "scrub": 1, "ssd": 1,
    }  # fmt: skip
    assert len(list(submitted(board))) == 4  # beta's salun is there, but counts once


def test_ones_own_run_comes_before_its_export(exported, tmp_path, cli):
    cli("import", str(exported), f"out={tmp_path / 'mine'}")
    assert cli("table", f"out={tmp_path / 'mine'}").status == 0


def refused(cli, path: Path, out: Path) -> tuple[int, str]:
    done = cli("import", str(path), f"out={out}")
    assert done.err.isascii() and all(letter.isprintable() or letter == "\n" for letter in done.err), done.err
    assert "Traceback" not in done.err and "mubench: unexpected" not in done.err
    return done.status, done.err


# An edit of a record (r: the object, t: its text), and why it is refused.
ROWS = {
    "NaN": (lambda t: t.replace("0.9", "NaN", 1), "NaN is no finite number"),
    "infinity": (lambda t: t.replace("0.9", "-Infinity", 1), "-Infinity is no finite number"),
    "1e400": (lambda t: t.replace("0.9", "1e400", 1), "too large"),
    "a million digits": (lambda t: t.replace("0.9", "9" * 10**6, 1), "too large"),
    "an overflow of squares": (lambda t: t.replace("0.9", "1e300", 1), "too large"),
    "a name twice": (lambda t: t.replace('"mia_auc"', '"x": 1, "x"', 1), "stands there twice"),
    "nesting": (lambda t: t.replace("0.9", "[" * 10**5 + "]" * 10**5, 1), "nested more than"),
    "UTF-16": (lambda t: t.encode("utf-16"), "not UTF-8"),
    "a byte order mark": (lambda t: t.encode("utf-8-sig"), "not JSON"),
    "latin-1": (lambda t: t.replace("CPU", "CPÜ", 1).encode("latin-1"), "not UTF-8"),
    "a list": (lambda t: "[]", "not a JSON object"),
    "half": (lambda t: t[:200], "not JSON"),
    "another schema": (lambda r: with_(r, "schema", 2), "its schema is '2', not 1"),
    "a field more": (lambda r: with_(r, "extra", 1), "Additional properties"),
    "a wrong type": (lambda r: with_(r, "key.seed.train", "1"), "key.seed.train"),
    "a share above 1": (lambda r: with_(r, "metrics.unlearned.test_accuracy", 5), "no share of 1"),
    "no reference": (lambda r: with_(r, "metrics.retrained", None), "no retrained model"),
    "failed": (lambda r: with_(r, "status", "failed"), "the run is failed"),
    "no predictions": (lambda r: with_(r, "files", {}), "no hash of its predictions"),
    "a way out in a file": (lambda r: with_(r, "files", {**r["files"], "../x": "0" * 64}), "a file cannot"),
    "script in a method": (lambda r: with_(r, "key.method", "<script>alert(1)</script>"), "cannot be named"),
    "a way out in a task": (lambda r: with_(r, "key.task", "../../etc"), "cannot be named"),
    "escapes in a model": (lambda r: with_(r, "key.model", "\x1b[2Jm"), "control characters"),
    "bidi in a model": (lambda r: with_(r, "key.model", BIDI + "m"), "control characters"),
    "a surrogate": (lambda r: with_(r, "key.model", "\ud800"), "control characters"),
    "a long name": (lambda r: with_(r, "key.model", "m" * 65), "cannot be named"),
    "a long text": (lambda r: with_(r, "environment.device", "m" * 5000), "a text of 5,000"),
    "script in a metric": (lambda r: with_(r, "metrics.unlearned", {"<b>": 1.0}), "a metric cannot be named"),
    "escapes in a reason": (lambda r: with_(r, "reasons", {"x": "\x1b]0;pwned\x07"}), "control characters"),
    "another fingerprint": (lambda r: with_(r, "fingerprint", "0" * 64), "not the folder's"),
    "key against config": (lambda r: with_(r, "config.deletion.name", "class"), "config.deletion is"),
    "a list for settings": (lambda r: with_(r, "config.training", []), "config.training is no group"),
    "seeds against config": (lambda r: with_(r, "key.seed.train", 7), "key.seed and config.seed differ"),
    "a time without a zone": (lambda r: with_(r, "finished", "2026-11-28"), "no time zone"),
}  # fmt: skip


@pytest.mark.parametrize("case", ROWS)
def test_a_bad_record_is_refused_and_the_others_are_taken(case, exported, tmp_path, cli):
    edit, reason = ROWS[case]
    files, run_ = changed(members(exported), edit)
    path = forged(tmp_path / "evil.zip", files, packed=zipfile.ZIP_STORED)
    status, err = refused(cli, path, tmp_path / "out")
    assert status == 1 and reason in err and run_[:16] in err and len(err.splitlines()) == 1, err
    assert [read(folder).fingerprint for folder, _ in submitted(tmp_path / "out")] != [run_]
    assert len(list(submitted(tmp_path / "out"))) == 1


NAMES = {
    "../../outside.json": "leads out of the folder",
    "runs/../../outside.json": "leads out of the folder",
    "/tmp/outside.json": "an absolute path",
    "C:/outside.json": "an absolute path",
    "..\\outside.json": "backslashes",
    "runs/aux.json": "a device's",
    "runs/NUL": "a device's",
    "runs/<script>": "nothing else",
    "runs/\x1b[2J": "nothing else",
    "runs/ab/record.json": "nothing else",
    f"runs/{'0' * 64}/model.safetensors": "nothing else",
    "runs/": "nothing else",
}


@pytest.mark.parametrize("name", NAMES)
def test_a_member_with_a_bad_name_is_never_written(name, exported, tmp_path, cli):
    path = forged(tmp_path / "evil.zip", {**members(exported), name: b"{}"})
    status, err = refused(cli, path, tmp_path / "in" / "out")
    assert status == 1 and NAMES[name] in err and len(err.splitlines()) == 1, err
    left = {path.name for path in (tmp_path / "in").rglob("*") if path.is_file()}
    assert left == {"manifest.json", "record.json", "curves.json", ".lock"}
    assert not list(tmp_path.rglob("outside*"))


def test_links_bombs_doubles_and_wrong_hashes_cost_their_run_alone(exported, tmp_path, cli):
    good = members(exported)
    first = sorted(name for name in good if name.endswith("record.json"))[0]

    def wrong(path: Path, write: Any, reason: str) -> None:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, text in good.items():
                write(archive) if name == first else archive.writestr(name, text)
        status, err = refused(cli, path, tmp_path / path.stem)
        assert status == 1 and reason in err and len(list(submitted(tmp_path / path.stem))) == 1, err

    link = zipfile.ZipInfo(first)
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    wrong(tmp_path / "link.zip", lambda archive: archive.writestr(link, "/etc/passwd"), "a link")
    wrong(tmp_path / "hash.zip", lambda archive: archive.writestr(first, good[first] + b" "), "hash differs")
    wrong(tmp_path / "gone.zip", lambda archive: None, "not there")
    wrong(tmp_path / "bomb.zip", lambda archive: archive.writestr(first, b" " * 4_000_000), "a zip bomb")
    wrong(
        tmp_path / "large.zip",
        lambda archive: archive.writestr(first, b" " * 5_000_000),
        "more than 4,194,304",
    )

    def twice(archive: zipfile.ZipFile) -> None:
        archive.writestr(first, good[first])
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr(first, good[first])

    wrong(tmp_path / "twice.zip", twice, "more than once")


def test_a_member_that_lies_about_its_size_makes_no_more_bytes_than_it_says(exported, tmp_path, cli):
    good = members(exported)
    first = sorted(name for name in good if name.endswith("record.json"))[0]
    path = forged(tmp_path / "evil.zip", {**good, first: bytes(range(256)) * 40_000})
    content = path.read_bytes()
    size = struct.pack("<L", 256 * 40_000)
    assert content.count(size) == 2
    path.write_bytes(content.replace(size, struct.pack("<L", 1000)))
    status, err = refused(cli, path, tmp_path / "out")
    assert status == 1 and ("cannot be unpacked" in err or "hash differs" in err), err


@pytest.mark.parametrize(
    ("manifest", "reason"),
    [
        ({"group": "../up"}, "no name of a group"),
        ({"group": "con"}, "no name of a group"),
        ({"group": "<script>"}, "no name of a group"),
        ({"group": 7}, "no name of a group"),
        ({"group": "\x1b[2J"}, "control characters"),
        ({"schema": 2}, "no submission of schema 1"),
        ({"kind": "other"}, "no submission of schema 1"),
        ({"files": []}, "its manifest lacks"),
        ({"files": {"x": "y"}}, "its manifest lacks"),
        ({"contact": "a" * 300}, "the contact"),
        ({"when": 3}, "its manifest lacks"),
    ],
)
def test_a_submission_without_a_good_manifest_is_refused_whole(manifest, reason, exported, tmp_path, cli):
    path = forged(tmp_path / "evil.zip", members(exported), manifest)
    status, err = refused(cli, path, tmp_path / "out")
    assert status == 2 and reason in err and not list((tmp_path / "out").rglob("*.json")), err


def test_what_is_no_submission_is_refused_whole(exported, tmp_path, cli, monkeypatch):
    content = exported.read_bytes()
    wrong = {
        "empty": (b"", "no zip"),
        "text": (b"not a zip at all, but long enough", "no zip"),
        "cut": (content[:-30], "no zip"),
        "comment": (content[:-2] + b"\3\0abc", "no zip"),
        "counts": (content[:-12] + struct.pack("<H", 65535) + content[-10:], "more than 20,001 members"),
        "zip64": (content[:-22] + b"PK\6\7" + bytes(16) + content[-22:], "members"),
    }
    for name, (text, reason) in wrong.items():
        (tmp_path / f"{name}.zip").write_bytes(text)
        status, err = refused(cli, tmp_path / f"{name}.zip", tmp_path / "out")
        assert status == 2 and reason in err, (name, err)
    monkeypatch.setattr(opened, "TOTAL", 100)
    assert "unpack to more than 100" in refused(cli, exported, tmp_path / "out")[1]
    monkeypatch.setattr(opened, "FILE", 100)
    assert "more than 100" in refused(cli, exported, tmp_path / "out")[1]
    assert not list((tmp_path / "out").rglob("*.json"))


def test_a_group_cannot_change_what_it_had_submitted(exported, tmp_path, cli):
    cli("import", str(exported), f"out={tmp_path / 'out'}")
    files, _ = changed(members(exported), lambda r: with_(r, "metrics.unlearned.test_accuracy", 0.99))
    status, err = refused(cli, forged(tmp_path / "evil.zip", files), tmp_path / "out")
    assert status == 1 and "is there with other contents" in err
    assert len(list(submitted(tmp_path / "out"))) == 2


def test_curves_are_those_that_the_record_sealed(exported, tmp_path, cli):
    files = members(exported)
    name = sorted(name for name in files if name.endswith("curves.json"))[0]
    path = forged(tmp_path / "evil.zip", {**files, name: b'{"schema": 1, "curves": {"x": 1}}'})
    status, err = refused(cli, path, tmp_path / "out")
    assert status == 1 and "curves.json is not what the record was written with" in err


def test_an_imported_run_is_shown_as_it_is_written(tmp_path, cli):
    text = "[link=https://evil.org]read this[/] [/]"
    out = outputs(tmp_path / "mine", run(reasons={"unlearned.mia_tpr@0.1%": text}))
    cli("export", "--name=alpha", f"--to={tmp_path / 'a.zip'}", f"out={out}")
    cli("import", str(tmp_path / "a.zip"), f"out={tmp_path / 'out'}")
    ((folder, _),) = submitted(tmp_path / "out")
    done = cli("show", "run", str(folder))
    assert done.status == 0 and text in done.out and "\x1b" not in done.out


def test_a_killed_import_leaves_nothing_that_counts(exported, tmp_path, cli, monkeypatch):
    monkeypatch.setattr(Path, "rename", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    assert cli("import", str(exported), f"out={tmp_path / 'out'}").status == 130
    monkeypatch.undo()
    assert not list(submitted(tmp_path / "out"))
    assert "2 runs new" in cli("import", str(exported), f"out={tmp_path / 'out'}").out
    assert not list((tmp_path / "out").rglob(".part"))


def test_quoting_makes_any_text_harmless():
    told = strict.shown("\x1b[31m" + BIDI + "é" * 500)
    assert told.isascii() and told.isprintable() and len(told) < 80


def test_the_schema_is_the_one_of_the_docs():
    assert schema()["title"] == "record.json"


def test_hand_made_runs_without_predictions_are_not_submitted(tmp_path, cli):
    written(tmp_path, [run()])
    done = cli("export", "--name=alpha", f"out={tmp_path}")
    assert done.status == 2 and "no hash of its predictions" in done.err
