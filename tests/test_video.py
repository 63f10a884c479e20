"""Clips: UCF101's layout of files in small, real AVI and MP4, broken ones, every family of networks."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch

from mubench import catalog, encoding, extras, models
from mubench.errors import UsageError
from mubench.modalities.base import BrokenRow
from mubench.modalities.video import Video, clip_of, sample
from mubench.plan import Planner
from mubench.progress import Reporter
from mubench.tasks.clips import ACTIONS, encode, moving_shapes
from mubench.typed import component

DIRS = catalog.config_dirs()
MINI = ["mini/timesformer", "mini/videomae", "mini/vivit"]
PROCESSOR = {
    "do_center_crop": True, "size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32},
    "image_mean": [0.5] * 3, "image_std": [0.25] * 3,
}  # fmt: skip


def settings(*overrides: str):
    return Planner(DIRS).cells(list(overrides), multirun=False)[0].settings


def task(name: str, **changes):
    return component({**settings(f"task={name}").task, **changes}, "task")


def load(folder, out, **changes):
    kind = Video("video", frames=4, image_size=16)
    return encoding.load(task("ucf101", source=str(folder), **changes), kind, {}, out, Reporter(quiet=True))


def brightening(count: int, height: int = 32, width: int = 48) -> np.ndarray:
    """Frames of one grey each: 10, 20, 30 ..."""
    greys = 10 * np.arange(1, count + 1, dtype=np.uint8)
    return np.broadcast_to(greys[:, None, None, None], (count, height, width, 3)).copy()


def greys(clip: np.ndarray) -> list[int]:
    return [round(float(frame.mean()) / 10) for frame in clip]


def test_frames_stand_for_equal_stretches():
    assert sample(8, 8).tolist() == list(range(8))
    assert sample(10, 4).tolist() == [1, 3, 6, 8]  # the middles of 0-2.5, 2.5-5, 5-7.5, 7.5-10
    assert sample(3, 6).tolist() == [0, 0, 1, 1, 2, 2]
    assert sample(1, 3).tolist() == [0, 0, 0]
    assert sample(180, 16)[[0, -1]].tolist() == [5, 174]


@pytest.mark.parametrize(("codec", "container"), [("mpeg4", "avi"), ("mpeg4", "mp4"), ("libx264", "mp4")])
def test_a_clip_is_read_from_bytes_or_a_path(tmp_path, codec, container):
    file = encode(brightening(20), codec, container)
    clip = clip_of({"bytes": file, "path": None}, 0, 4, 16)
    assert clip.shape == (4, 3, 16, 16) and clip.dtype == np.uint8
    assert greys(clip) == [3, 8, 13, 18]  # frames 2, 7, 12, 17
    (tmp_path / "clip").write_bytes(file)
    assert np.array_equal(clip_of({"bytes": None, "path": str(tmp_path / "clip")}, 0, 4, 16), clip)


def test_the_centre_square_is_kept():
    wide = np.zeros((2, 32, 64, 3), dtype=np.uint8)
    wide[:, :, 16:48] = 200
    clip = clip_of({"bytes": encode(wide), "path": None}, 0, 2, 16)
    assert clip[..., 2:-2].min() > 170


def wav() -> bytes:
    """A file that holds sound and no picture."""
    import io
    import wave

    stream = io.BytesIO()
    with wave.open(stream, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(1600))
    return stream.getvalue()


@pytest.mark.parametrize(
    ("file", "said"),
    [
        (b"", "the video cannot be decoded"),
        (b"no video at all" * 50, "the video cannot be decoded"),
        (wav(), "the video holds no frames"),
        (encode(np.random.default_rng(0).integers(0, 256, (40, 64, 64, 3), dtype=np.uint8))[:20_000],
         r"breaks off after \d+ of its 40 frames"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_whole_clip_is_a_broken_row(file, said):
    with pytest.raises(BrokenRow, match=said) as caught:
        Video("video", frames=4, image_size=16).encode(
            {"video": [{"bytes": encode(brightening(5)), "path": None}, {"bytes": file, "path": None}]},
            None,
        )
    assert caught.value.place == 1


# UCF101 --------------------------------------------------------------------------------------

CLASSES = ["Archery", "HandstandPushups", "Basketball"]  # numbered as classInd.txt says
FILES = {  # the split, and clips of different sizes and lengths
    "train": [f"Archery/v_Archery_g{g:02d}_c0{c}.avi" for g in (8, 9) for c in (1, 2)]
    + [f"HandstandPushups/v_HandStandPushups_g{g:02d}_c01.avi" for g in (8, 9, 10)]
    + ["Basketball/v_Basketball_g08_c01.avi", "Basketball/v_Basketball_g08_c02.avi"],
    "test": ["Archery/v_Archery_g01_c01.avi", "HandstandPushups/v_HandStandPushups_g01_c01.avi"],
}


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """The folder as the two archives leave it."""
    folder = tmp_path_factory.mktemp("ucf")
    lists = folder / "ucfTrainTestlist"
    lists.mkdir()
    number_of = {name: number for number, name in enumerate(CLASSES, start=1)}
    (lists / "classInd.txt").write_text("".join(f"{n} {name}\r\n" for name, n in number_of.items()))
    for split, files in FILES.items():
        lines = [f"{f} {number_of[f.split('/')[0]]}" if split == "train" else f for f in files]
        (lists / f"{split}list01.txt").write_text("\n".join(lines) + "\n")
        for place, file in enumerate(files):
            path = folder / "UCF-101" / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encode(brightening(6 + place, 32, 32 + 16 * (place % 3))))
    return folder


@pytest.fixture
def ucf101(published, tmp_path):
    return shutil.copytree(published, tmp_path / "ucf101")


def test_ucf101_takes_classes_from_folders_and_groups_from_names(tmp_path, ucf101):
    data = load(ucf101, tmp_path, validation=0.0)
    assert data.classes == tuple(CLASSES)
    assert data["train"].targets.tolist() == [0, 0, 0, 0, 1, 1, 1, 2, 2]
    assert data["test"].targets.tolist() == [0, 1]
    groups = [data.groups[number] for number in data["train"].groups]
    assert groups[:3] == ["Archery g08", "Archery g08", "Archery g09"]
    assert groups[4] == "HandstandPushups g08" and groups[7] == groups[8] == "Basketball g08"
    stored = data["train"].inputs["pixel_values"]
    assert stored.shape == (9, 4, 3, 16, 16) and stored.dtype == torch.uint8
    assert greys(stored[2].numpy() / 1.0) == [2, 4, 6, 8]  # of 8 frames 1, 3, 5, 7
    assert data.facts["frames"] == 4 and data.facts["image_size"] == 16


def test_broken_and_missing_clips_are_named(tmp_path, ucf101):
    clip = ucf101 / "UCF-101" / FILES["train"][5]
    clip.write_bytes(b"")
    with pytest.raises(UsageError, match="ucf101: row 5 of train: the video cannot be decoded"):
        load(ucf101, tmp_path)
    clip.unlink()
    with pytest.raises(
        UsageError, match=r"row 5 of train: there is no clip .*v_HandStandPushups_g09_c01\.avi"
    ):
        load(ucf101, tmp_path)


def test_what_is_missing_from_the_folder_is_said(tmp_path, ucf101):
    with pytest.raises(UsageError, match=r"needs a folder with its clips: .*UCF101\.rar.*mini/ucf101"):
        task("ucf101").load()
    with pytest.raises(UsageError, match=r"ucfTrainTestlist/trainlist02\.txt is missing there"):
        load(ucf101, tmp_path, fold=2)
    with pytest.raises(UsageError, match=r"task\.fold must lie in \[1, 3\]"):
        task("ucf101", fold=4)
    lists = ucf101 / "ucfTrainTestlist"
    (lists / "classInd.txt").write_text("1 Archery\n2 Basketball\n")
    with pytest.raises(UsageError, match=r"row 4 of train, Handstand\S+avi, lies in no class"):
        load(ucf101, tmp_path)


def test_the_folder_is_known_by_lists_and_sizes(ucf101):
    before = task("ucf101", source=str(ucf101)).identity()
    assert before == task("ucf101", source=str(ucf101)).identity()
    assert task("ucf101", source=str(ucf101), fold=2).identity() != before
    (ucf101 / "UCF-101" / FILES["test"][0]).write_bytes(b"shorter")
    assert task("ucf101", source=str(ucf101)).identity() != before


def test_without_pyav_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"needs the package av: pip install 'mubench\[video\]'"):
        Video("video")


# The mini twin -------------------------------------------------------------------------------


def test_the_twins_clips_are_real_files_and_noise_is_in_training_only():
    train, clean = (moving_shapes("train", 210, 70, noise, 42) for noise in (0.1, 0.0))
    assert train == moving_shapes("train", 210, 70, 0.1, 42)
    assert train[0]["bytes"][:4] == b"RIFF" and train[0]["path"].endswith("_g08_c0000.avi")
    wrong = np.mean([a["path"] != b["path"] for a, b in zip(train, clean, strict=True)])
    assert 0.04 < wrong < 0.16
    test = moving_shapes("test", 210, 70, 0.1, 42)
    assert [row["path"].split("/")[0] for row in test[: len(ACTIONS)]] == list(ACTIONS)
    moved = clip_of({"bytes": test[list(ACTIONS).index("MoveRight")]["bytes"], "path": None}, 0, 8, 32)
    contrast = np.abs(moved.astype(float) - np.median(moved)).sum(axis=(1, 2))  # (8, 32) by column
    centre = (contrast**2 * np.arange(32)).sum(1) / (contrast**2).sum(1)
    assert centre[-1] > centre[0] + 4


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A few clips of the twin."""
    node = settings("task=mini/ucf101")
    kind = component(node.modality, "modality")
    source = task("mini/ucf101", generate={**node.task["generate"], "train": 42, "test": 14})
    return kind, encoding.load(
        source, kind, node.model, tmp_path_factory.mktemp("twin"), Reporter(quiet=True)
    )


def test_the_twin_goes_through_the_same_task_and_modality(small):
    kind, data = small
    assert type(kind) is Video and data.classes == tuple(ACTIONS)
    assert data["train"].inputs["pixel_values"].shape[1:] == (8, 3, 32, 32)
    assert data["train"].groups is not None and "Turn g08" in data.groups


def test_half_of_the_clips_are_mirrored_whole(small):
    _, data = small
    kind = Video("video", augment="flip", frames=8, image_size=32)
    spec = models.describe(settings("task=mini/ucf101").model, data, kind)
    taken = data["train"].take(torch.arange(40) % len(data["train"]), torch.device("cpu"))
    plain = kind.prepare(taken, spec.input, None).inputs["pixel_values"]
    drawn = kind.prepare(taken, spec.input, torch.Generator().manual_seed(0)).inputs["pixel_values"]
    mirrored = [torch.equal(a, b.flip(-1)) for a, b in zip(drawn, plain, strict=True)]
    same = [torch.equal(a, b) for a, b in zip(drawn, plain, strict=True)]
    assert all(a != b for a, b in zip(mirrored, same, strict=True)) and 8 < sum(mirrored) < 32
    assert kind.draws and not Video("video").draws


# Networks ------------------------------------------------------------------------------------


def describe(small, name: str) -> models.ModelSpec:
    kind, data = small
    return models.describe(settings("task=mini/ucf101", f"model={name}").model, data, kind)


def inputs(small, spec: models.ModelSpec):
    kind, data = small
    return kind.prepare(data["train"].take(torch.arange(2), torch.device("cpu")), spec.input, None)


@pytest.mark.parametrize("name", MINI)
def test_small_models_give_logits_are_seeded_and_survive_a_round_trip(name, small, tmp_path):
    spec, kind = describe(small, name), small[0]
    model, other = spec.start(1).eval(), spec.start(2).eval()
    batch = inputs(small, spec)
    logits = kind.logits(model, batch)
    assert logits.shape == (2, len(ACTIONS))
    assert torch.equal(kind.logits(spec.start(1).eval(), batch), logits)
    assert not torch.equal(kind.logits(other, batch), logits)
    models.save(model, tmp_path / "model.safetensors")
    assert torch.equal(kind.logits(models.load(other, tmp_path / "model.safetensors"), batch), logits)


def checkpoint(small, name: str, folder) -> tuple[torch.nn.Module, dict]:
    """What the hub leaves of a network of 7 classes, and the model node that names it."""
    source = describe(small, name).start(3)
    source.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
    build = {
        "_target_": "mubench.networks.pretrained.pretrained",
        "auto": "AutoModelForVideoClassification",
    }
    return source.eval(), {"build": build, "checkpoint": str(folder)}


@pytest.mark.parametrize("name", MINI)
def test_a_checkpoint_folder_is_loaded_with_a_head_of_the_tasks_size(name, small, tmp_path):
    kind, data = small
    source, node = checkpoint(small, name, tmp_path)
    spec = models.describe(node, data, kind)
    assert spec.input.picture.image_size == 32 and spec.input.picture.std == (0.25,) * 3
    batch = inputs(small, spec)
    assert torch.allclose(kind.logits(spec.start(1).eval(), batch), kind.logits(source, batch), atol=1e-5)
    fewer = models.ModelSpec(spec.build, 3, spec.shape, spec.input, spec.checkpoint)
    assert kind.logits(fewer.start(1).eval(), batch).shape == (2, 3)
    assert torch.allclose(
        kind.logits(spec.published(str(tmp_path)).eval(), batch), kind.logits(source, batch), atol=1e-5
    )
    with pytest.raises(UsageError, match="is no trained model of this task"):
        fewer.published(str(tmp_path))


def test_another_number_or_side_of_frames_is_taken_where_positions_are_computed(small, tmp_path):
    kind, data = small
    _, node = checkpoint(small, "mini/videomae", tmp_path)
    spec = models.describe({**node, "image_size": 16}, data, kind)
    assert kind.logits(spec.start(1).eval(), inputs(small, spec)).shape == (2, len(ACTIONS))


def test_another_number_of_frames_is_refused_where_positions_were_learned(small, tmp_path):
    kind, data = small
    _, node = checkpoint(small, "mini/timesformer", tmp_path)
    shape = {**models.describe(node, data, kind).shape, "num_frames": 4}
    spec = models.ModelSpec(node["build"], 7, shape, None, node["checkpoint"])
    with pytest.raises(UsageError, match=r"weights do not fit beyond the head: .*time_embeddings"):
        spec.start(1)


def test_the_sizes_of_videomae_name_their_checkpoints():
    found = {name: settings("task=ucf101", f"model=videomae-{name}").model["checkpoint"]
             for name in ("small", "base", "large", "huge")}  # fmt: skip
    assert found == {
        "small": "MCG-NJU/videomae-small-finetuned-kinetics", "base": "MCG-NJU/videomae-base",
        "large": "MCG-NJU/videomae-large", "huge": "MCG-NJU/videomae-huge-finetuned-kinetics"}  # fmt: skip
