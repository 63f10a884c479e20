"""Files that are whole or absent."""

from __future__ import annotations

import os
import subprocess
import threading

import pytest

from mubench import files, fingerprint
from mubench.errors import RunFailed, UsageError
from mubench.files import Corrupt, check_outputs, locked, read_json, seal, unseal, write_atomically, writing


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 64 kB; skips where mounting is not permitted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if os.name != "posix" or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a tmpfs is not permitted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_failed_write_keeps_the_old_file_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "deep" / "file.txt"
    files.write_text(path, "old")

    def fail(temporary):
        temporary.write_text("half")
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        write_atomically(path, fail)
    assert path.read_text() == "old" and list(path.parent.iterdir()) == [path]
    assert path.stat().st_mode & 0o777 == 0o644


def test_nan_is_no_json(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(tmp_path / "x.json", {"value": float("nan")})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b'{"schema": 1, "sta', b"[1, 2]", b"\xff\xfe", b"nonsense"])
def test_what_is_no_json_object_is_corrupt_and_named(tmp_path, content):
    (tmp_path / "record.json").write_bytes(content)
    with pytest.raises(Corrupt, match=r"record\.json is not"):
        read_json(tmp_path / "record.json")


def test_a_sealed_folder_opens_only_while_its_files_are_as_written(tmp_path):
    assert unseal(tmp_path) is None
    (tmp_path / "weights").write_bytes(b"1234")
    seal(tmp_path, ["weights"], {"cost": 3})
    content = unseal(tmp_path, ["cost"])
    assert content is not None and content["cost"] == 3
    with pytest.raises(Corrupt, match=r"record\.json lacks epochs"):
        unseal(tmp_path, ["cost", "epochs"])
    (tmp_path / "weights").write_bytes(b"1235")
    with pytest.raises(Corrupt, match="weights is not what was written"):
        unseal(tmp_path)
    (tmp_path / "weights").unlink()
    with pytest.raises(Corrupt, match="weights is missing"):
        unseal(tmp_path)
    files.write_json(tmp_path / "record.json", {"cost": 3})
    with pytest.raises(Corrupt, match="lacks files"):
        unseal(tmp_path)


def test_leftovers_of_a_killed_writer_are_cleared(tmp_path):
    for name in (".model.safetensors.x1y2", ".record.json.abcd", ".lock", "record.json"):
        (tmp_path / name).touch()
    files.clear_leftovers(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {".lock", "record.json"}


def test_a_lock_has_one_holder_and_says_when_it_waits(tmp_path):
    order, entered = [], threading.Event()

    def second():
        with locked(tmp_path / "a" / "x.lock", lambda: (order.append("waits"), entered.set())):
            order.append("second")

    thread = threading.Thread(target=second)
    with locked(tmp_path / "a" / "x.lock", lambda: order.append("never")):
        thread.start()
        assert entered.wait(10)
        order.append("first")
    thread.join(10)
    assert order == ["waits", "first", "second"]


def test_a_full_disk_is_one_sentence_whoever_writes(small_disk):
    import torch
    from safetensors.torch import save_file

    tensor = torch.zeros(100_000)
    for write in (
        lambda path: path.write_bytes(bytes(400_000)),
        lambda path: save_file({"x": tensor}, path),
        lambda path: torch.save(tensor, path),
    ):
        with pytest.raises(RunFailed, match="no space left on device"):
            write_atomically(small_disk / "file", write)
        assert list(small_disk.iterdir()) == []


def test_outputs_that_cannot_be_written_are_told_before_any_work(tmp_path, small_disk):
    check_outputs(tmp_path / "not" / "yet" / "there")
    assert not (tmp_path / "not").exists()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(UsageError, match="disk refuses writing"):
        check_outputs(small_disk / "outputs")
    with pytest.raises(RunFailed, match="read-only file system"), writing(small_disk):
        (small_disk / "x").touch()


def test_an_output_folder_that_is_a_file_is_one_sentence(tmp_path):
    (tmp_path / "o").touch()
    with pytest.raises(UsageError, match="o is not a folder"):
        check_outputs(tmp_path / "o" / "deeper")
    with pytest.raises(RunFailed, match="cannot write to"):
        files.write_text(tmp_path / "o" / "file", "x")


def test_a_folder_of_thousands_of_files_is_known_by_names_and_sizes(tmp_path, monkeypatch):
    monkeypatch.setattr(fingerprint, "MANY", 3)
    for name in "abc":
        (tmp_path / name).write_bytes(b"one")
    few = fingerprint.folder_hash(tmp_path)
    (tmp_path / "c").write_bytes(b"two")
    assert fingerprint.folder_hash(tmp_path) != few
    (tmp_path / "d").write_bytes(b"one")
    many = fingerprint.folder_hash(tmp_path)
    (tmp_path / "d").write_bytes(b"two")
    assert fingerprint.folder_hash(tmp_path) == many
    (tmp_path / "d").write_bytes(b"four")
    assert fingerprint.folder_hash(tmp_path) != many
