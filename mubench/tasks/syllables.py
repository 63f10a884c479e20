"""Generated speech for mini twins: gliding vowels said by speakers of different pitch and size."""

from __future__ import annotations

import io
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np

from mubench.tasks.speech_commands import CLASSES, WORDS

RATE = 8000  # samples a second
SECONDS = 0.5
# First and second resonance in Hz; a word glides from one vowel to another.
VOWELS = {"i": (300, 2300), "e": (480, 1900), "a": (750, 1300), "o": (500, 950), "u": (320, 800)}
PAIRS = tuple(permutations(VOWELS, 2))  # the first ten are the words, the others unknown
SPLITS = ("train", "validation", "test")
COMMON = {"_unknown_": 0.3, "_silence_": 0.03}  # shares of the training rows; the words share the rest


@dataclass(frozen=True)
class Speaker:
    """Who speaks: pitch in Hz, by how much all resonances are shifted, how long a word is in seconds."""

    name: str
    pitch: float
    size: float
    pace: float


def speakers(split: str, count: int, seed: int) -> list[Speaker]:
    """The speakers of a split: nobody is in two."""
    rng = np.random.default_rng([seed, 7, SPLITS.index(split)])
    drawn = zip(
        rng.uniform(90, 230, count),
        rng.uniform(0.88, 1.14, count),
        rng.uniform(0.25, 0.38, count),
        strict=True,
    )
    return [Speaker(f"{SPLITS.index(split)}{n:07x}", *of) for n, of in enumerate(drawn)]


def say(pair: tuple[str, str], speaker: Speaker, rng: np.random.Generator) -> np.ndarray:
    """One word (S,) float: harmonics of a falling pitch, weighed by two gliding resonances."""
    time = np.arange(round(SECONDS * RATE)) / RATE
    pace = speaker.pace * rng.uniform(0.9, 1.1)
    begin = rng.uniform(0.02, max(0.03, SECONDS - pace - 0.02))
    progress = ((time - begin) / pace).clip(0, 1)
    pitch = speaker.pitch * rng.uniform(0.93, 1.07) * (1.1 - 0.2 * progress)
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    start, end = (np.array(VOWELS[vowel]) * speaker.size * rng.normal(1, 0.09, 2) for vowel in pair)
    glide = 1 / (1 + np.exp(-12 * (progress - 0.5)))
    first, second = start[:, None] + (end - start)[:, None] * glide
    number = np.arange(1, int(3500 / pitch.max()) + 1)[:, None]
    weight = np.exp(-np.square((number * pitch - first) / 130)) + 0.6 * np.exp(
        -np.square((number * pitch - second) / 180)
    )
    voice = (weight * np.sin(number * phase)).sum(0)
    envelope = np.sin(np.pi * progress) ** 0.5 * (progress > 0) * (progress < 1)
    spoken: np.ndarray = rng.uniform(0.1, 0.3) * voice * envelope
    return spoken


def noise(rng: np.random.Generator, level: float) -> np.ndarray:
    """A background (S,) float."""
    return level * rng.standard_normal(round(SECONDS * RATE))


def wav(wave: np.ndarray) -> bytes:
    """A wave (S,) in [-1, 1] as a file of 16 bits."""
    import soundfile

    stream = io.BytesIO()
    soundfile.write(stream, wave.clip(-1, 1), RATE, format="WAV", subtype="PCM_16")
    return stream.getvalue()


def _classes(split: str, count: int, rng: np.random.Generator) -> np.ndarray:
    """A class for each row (count,): skewed in training, even elsewhere, as in Speech Commands."""
    if split != "train":
        return rng.permutation(np.arange(count) % len(CLASSES))
    rare = {name: max(1, round(share * count)) for name, share in COMMON.items()}
    words = np.arange(count - sum(rare.values())) % len(WORDS)
    others = [np.full(number, CLASSES.index(name)) for name, number in rare.items()]
    return rng.permutation(np.concatenate([words, *others]))


def spoken_words(
    split: str, train: int, validation: int, test: int, voices: int, wrong: float, seed: int
) -> Any:
    """A table with the fields of superb's `ks` (file, audio, label), as `datasets` holds them.

    `voices` speakers say the training rows, a third as many the others'. A share `wrong` of the
    training labels is wrong, so that fitting them takes memorisation.
    """
    import datasets

    count = {"train": train, "validation": validation, "test": test}[split]
    rng = np.random.default_rng([seed, SPLITS.index(split)])
    people = speakers(split, voices if split == "train" else -(-voices // 3), seed)
    labels, files, sounds = _classes(split, count, rng), [], []
    for row, label in enumerate(labels):
        speaker = people[rng.integers(len(people))]
        wave = noise(rng, rng.uniform(0.01, 0.06))
        if CLASSES[label] != "_silence_":
            pair = PAIRS[label] if label < len(WORDS) else PAIRS[rng.integers(len(WORDS), len(PAIRS))]
            wave = wave + say(pair, speaker, rng)
        files.append(f"{CLASSES[label]}/{speaker.name}_nohash_{row}.wav")
        sounds.append({"bytes": wav(wave), "path": files[-1]})
    mistaken = (rng.random(count) < wrong) & (split == "train")
    shift = rng.integers(1, len(CLASSES), count)
    labels = np.where(mistaken, (labels + shift) % len(CLASSES), labels)
    features = datasets.Features(
        file=datasets.Value("string"),
        audio={"bytes": datasets.Value("binary"), "path": datasets.Value("string")},
        label=datasets.ClassLabel(names=list(CLASSES)),
    )
    rows = {"file": files, "audio": sounds, "label": labels.tolist()}
    table = datasets.Dataset.from_dict(rows, features=features)
    return table.cast_column("audio", datasets.Audio(sampling_rate=RATE, decode=False))
