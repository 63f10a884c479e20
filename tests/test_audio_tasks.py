"""Tasks of speech: archives and parquet copies in small, their speakers, the twin, and synthetic voices."""

from __future__ import annotations

import io

import datasets
import numpy as np
import pytest
import soundfile

from mubench import catalog, encoding
from mubench.errors import UsageError
from mubench.modalities.audio import Audio
from mubench.plan import Planner
from mubench.progress import Reporter
from mubench.tasks.speech_commands import CLASSES, class_of, speaker_of
from mubench.tasks.syllables import speakers, spoken_words
from mubench.typed import component

DIRS = catalog.config_dirs()
TINY = {"train": 60, "validation": 12, "test": 24, "voices": 6, "wrong": 0.1, "seed": 1}


def task(name: str, **changes):
    settings = Planner(DIRS).cells([f"task={name}"], multirun=False)[0].settings
    return component({**settings.task, **changes}, "task")


def load(name: str, out, modality: Audio | None = None, **changes):
    heard = modality or Audio("audio", sample_rate=8000, seconds=0.5)
    return encoding.load(task(name, **changes), heard, {}, out, Reporter(quiet=True))


def sound(seed: int, count: int = 900, rate: int = 16000) -> np.ndarray:
    return np.random.default_rng(seed).integers(-9999, 9999, count).astype(np.int16)


TRAIN = ("bed/aa_nohash_0.wav", "bed/bb_nohash_0.wav", "no/aa_nohash_0.wav", "on/aa_nohash_1.wav",
         "one/cc_nohash_0.wav", "yes/bb_nohash_0.wav", "yes/bb_nohash_1.wav")  # fmt: skip
VALIDATION = ("yes/dd_nohash_0.wav", "bed/dd_nohash_0.wav")
HELD_OUT = ("go/ee_nohash_0.wav",)  # in the first archive's own test list: used by nobody
TEST = ("_silence_/0.wav", "_unknown_/ff_nohash_0.wav", "yes/ff_nohash_0.wav")


@pytest.fixture
def archives(tmp_path):
    """The two unpacked archives, a file of noise longer than a second among them."""
    folder = tmp_path / "archives"
    train, test = folder / "speech_commands_v0.01", folder / "speech_commands_test_set_v0.01"
    for place, names in ((train, (*TRAIN, *VALIDATION, *HELD_OUT)), (test, TEST)):
        for name in names:
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(place / name, sound(len(name)), 16000)
    (train / "_background_noise_").mkdir()
    soundfile.write(train / "_background_noise_/running_tap.wav", sound(0, 40_000), 16000)
    (train / "_background_noise_/README.md").write_text("where they are from")
    (train / "validation_list.txt").write_text("\n".join(VALIDATION) + "\n")
    (train / "testing_list.txt").write_text("\n".join(HELD_OUT) + "\n")
    return folder


def test_the_archives_are_split_labelled_and_ordered_as_superb_does(tmp_path, archives):
    data = load("speech_commands", tmp_path, Audio("audio"), source=str(archives))
    assert data.classes == CLASSES and CLASSES[-2:] == ("_silence_", "_unknown_")
    words = {name: [CLASSES[label] for label in part.labels] for name, part in data.splits.items()}
    assert words == {
        "train": ["_silence_", "_unknown_", "_unknown_", "no", "on", "_unknown_", "yes", "yes"],
        "validation": ["_unknown_", "yes"],
        "test": ["_silence_", "_unknown_", "yes"],
    }
    train = data["train"]
    said = [data.groups[group] for group in train.groups]
    assert said == ["running_tap", "aa", "bb", "aa", "aa", "cc", "bb", "bb"]
    assert train.inputs["length"].tolist() == [16000] + [900] * 7
    assert np.array_equal(train.inputs["waveform"][1, :900], sound(len(TRAIN[0])))


def test_what_the_archives_lack_is_named(tmp_path, archives):
    train = archives / "speech_commands_v0.01"
    (train / VALIDATION[0]).unlink()
    with pytest.raises(
        UsageError, match=r"validation_list\.txt lists yes/dd_nohash_0\.wav, which is missing"
    ):
        load("speech_commands", tmp_path, source=str(archives))
    (train / "testing_list.txt").unlink()
    (train / "validation_list.txt").write_text("")
    with pytest.raises(UsageError, match=r"testing_list\.txt is missing"):
        load("speech_commands", tmp_path, source=str(archives))
    (archives / "speech_commands_test_set_v0.01").rename(archives / "tests")
    with pytest.raises(UsageError, match=r"the folder speech_commands_test_set_v0\.01 .* is missing there"):
        load("speech_commands", tmp_path, source=str(archives))


def test_a_broken_file_of_the_archives_is_named_by_its_row(tmp_path, archives):
    (archives / "speech_commands_v0.01" / TRAIN[2]).write_bytes(b"no sound")
    with pytest.raises(UsageError, match="speech_commands: row 3 of train: the sound cannot be decoded"):
        load("speech_commands", tmp_path, source=str(archives))


def table(split: str, kind: str = "FLAC", broken: int | None = None) -> datasets.Dataset:
    """Rows in the hub's form: file, audio (encoded, 16 kHz), label."""
    rows: dict[str, list] = {"file": [], "audio": [], "label": []}
    for row in range(24):
        stream = io.BytesIO()
        soundfile.write(stream, sound(row, 500 + row), 16000, format=kind)
        data = b"nothing" if row == broken else stream.getvalue()
        rows["file"].append(f"/storage/{split}/yes/{row % 3:x}_nohash_{row}.wav")
        rows["audio"].append({"bytes": data, "path": f"{row}.wav"})
        rows["label"].append(row % 12)
    features = datasets.Features(
        file=datasets.Value("string"),
        audio={"bytes": datasets.Value("binary"), "path": datasets.Value("string")},
        label=datasets.ClassLabel(names=list(CLASSES)),
    )
    made = datasets.Dataset.from_dict(rows, features=features)
    return made.cast_column("audio", datasets.Audio(sampling_rate=16000))


@pytest.mark.parametrize("layout", ["save_to_disk", "parquet"])
def test_a_copy_of_the_hub_is_read_in_either_layout(tmp_path, layout):
    folder, tables = tmp_path / "copy", {split: table(split) for split in ("train", "validation", "test")}
    if layout == "save_to_disk":
        datasets.DatasetDict(tables).save_to_disk(folder)
    else:
        for split, rows in tables.items():
            (folder / "ks" / split).mkdir(parents=True)
            rows.to_parquet(folder / "ks" / split / "0000.parquet")
    data = load("speech_commands", tmp_path, Audio("audio"), source=str(folder))
    assert data.classes == CLASSES and [len(part) for part in data.splits.values()] == [24, 24, 24]
    assert data.groups == ("0", "1", "2") and data["train"].groups.tolist() == [0, 1, 2] * 8
    assert np.array_equal(data["test"].inputs["waveform"][7, :507], sound(7, 507))


def test_a_broken_sound_of_a_copy_is_named_by_its_row(tmp_path):
    good = table("test")
    splits = {"train": table("train", broken=7), "validation": good, "test": good}
    datasets.DatasetDict(splits).save_to_disk(tmp_path / "copy")
    with pytest.raises(UsageError, match="row 7 of train: the sound cannot be decoded"):
        load("speech_commands", tmp_path, source=str(tmp_path / "copy"))


def test_speakers_and_classes_are_read_from_paths():
    assert speaker_of("/a/b/bed/0a7c2a8d_nohash_3.wav") == speaker_of("C:\\x\\0a7c2a8d_nohash_0.wav")
    assert speaker_of("_background_noise_/pink_noise.wav") == "pink_noise"
    assert [CLASSES[class_of(f"{word}/x.wav")] for word in ("go", "marvin", "_background_noise_")] == [
        "go", "_unknown_", "_silence_"]  # fmt: skip


def test_the_twin_has_superbs_fields_noise_in_training_only_and_is_the_same_each_time():
    train, clean = spoken_words("train", **TINY), spoken_words("train", **{**TINY, "wrong": 0.0})
    assert train.column_names == table("train").column_names
    assert train.features["label"].names == list(CLASSES)
    again = spoken_words("train", **TINY)
    assert train["label"] == again["label"] and train["audio"][:] == again["audio"][:]
    assert 0 < np.mean(np.array(train["label"]) != np.array(clean["label"])) < 0.25
    true = [file.split("/")[0] for file in spoken_words("test", **TINY)["file"]]
    assert [CLASSES[label] for label in spoken_words("test", **TINY)["label"]] == true
    names = [{person.name for person in speakers(split, 6, 1)} for split in ("train", "validation", "test")]
    assert not names[0] & names[1] and not names[0] & names[2] and not names[1] & names[2]


def test_the_twin_goes_through_the_same_loader(tmp_path):
    generate = {"_target_": "mubench.tasks.syllables.spoken_words", **TINY}
    data = load("mini/speech_commands", tmp_path, generate=generate)
    assert [len(data[split]) for split in ("train", "validation", "test")] == [60, 12, 24]
    assert data["train"].inputs["waveform"].shape == (60, 4000)
    assert len({data.groups[group] for group in data["train"].groups}) == 6
    counts = np.bincount(data["test"].labels)
    assert counts.tolist() == [2] * 12


def test_espeak_says_the_same_each_time_and_no_voice_is_in_two_splits(tmp_path):
    pytest.importorskip("espeakng_loader")
    first, second = (task("espeak_words", takes=1).load() for _ in range(2))
    for name, count in (("train", 300), ("test", 100)):
        sounds = [[s["array"] for s in raw.splits[name].fields["audio"]] for raw in (first, second)]
        assert len(sounds[0]) == count == len({wave.tobytes() for wave in sounds[0]})
        assert all(np.array_equal(a, b) for a, b in zip(*sounds, strict=True))
        assert np.bincount(first.splits[name].labels).tolist() == [count // 10] * 10
    train, test = (set(first.splits[name].groups) for name in ("train", "test"))
    assert len(train) == 30 and len(test) == 10 and not train & test


def test_espeak_refuses_an_unknown_voice_and_a_missing_package(monkeypatch):
    pytest.importorskip("espeakng_loader")
    from mubench.tasks.espeak_words import speak

    with pytest.raises(UsageError, match="no voice variant 'nobody'"):
        speak([("yes", "nobody", 160, 50)])
    monkeypatch.setattr("mubench.extras.find_spec", lambda name: None)
    with pytest.raises(
        UsageError, match=r"needs the package espeakng_loader: pip install 'mubench\[speech\]'"
    ):
        task("espeak_words")
