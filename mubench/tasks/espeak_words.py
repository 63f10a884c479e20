"""Ten words in forty voices of espeak-ng, spoken on the spot: embedded speech, no network."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import product
from pathlib import Path

import numpy as np

from mubench.errors import UsageError
from mubench.extras import need
from mubench.schema import within
from mubench.tasks.base import Raw, RawSplit, Task
from mubench.tasks.speech_commands import WORDS

VOICES = (
    "Alex", "Andrea", "Andy", "Annie", "Denis", "Diogo", "Gene", "Henrique", "Hugo", "Jacky",
    "Lee", "Marco", "Michael", "Mike", "adam", "antonio", "aunty", "belinda", "benjamin", "boris",
    "caleb", "david", "ed", "edward", "f1", "f2", "f3", "f5", "grandma", "grandpa",
    "linda", "m1", "m2", "m3", "m5", "m7", "paul", "quincy", "rob", "steph",
)  # fmt: skip


@dataclass
class EspeakWords(Task):
    """Each word in each voice, `takes` times at another pace and pitch; groups are voices.

    No voice is in two splits: of every four voices in a seeded order, one is for testing.
    """

    takes: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        within("task.takes", self.takes, 1, 100)
        need("task 'espeak_words'", "espeakng_loader", extra="speech")
        if self.source is not None:
            raise UsageError("task 'espeak_words' speaks its data itself and takes no task.source")

    def upstream(self) -> str:
        """The version of the synthesizer, and what it is asked to say."""
        return f"espeakng-loader {version('espeakng-loader')} takes {self.takes} seed {self.seed}"

    def load(self) -> Raw:
        """All words, in one fixed order."""
        rng = np.random.default_rng(self.seed)
        tests = set(rng.permutation(len(VOICES))[::4].tolist())
        spoken = list(product(range(len(VOICES)), range(len(WORDS)), range(self.takes)))
        paces, pitches = rng.integers(130, 190, len(spoken)), rng.integers(35, 65, len(spoken))
        utterances = [
            (WORDS[word], VOICES[voice], int(pace), int(pitch))
            for (voice, word, _), pace, pitch in zip(spoken, paces, pitches, strict=True)
        ]
        sounds, rate = speak(utterances)
        voices, words, _ = np.array(spoken, dtype=np.int64).T
        tested = np.isin(voices, list(tests))
        splits = {}
        for name, chosen in (("train", ~tested), ("test", tested)):
            audio = [{"array": sounds[row], "sampling_rate": rate} for row in np.flatnonzero(chosen)]
            splits[name] = RawSplit({"audio": audio}, words[chosen], voices[chosen])
        return Raw(splits, WORDS, VOICES)


def speak(utterances: Sequence[tuple[str, str, int, int]]) -> tuple[list[np.ndarray], int]:
    """Samples (n,) float32 in [-1, 1] of each (text, variant, words a minute, pitch), and their rate.

    UsageError if the synthesizer refuses. It speaks in a process of its own: see speaking.py.
    """
    program = str(Path(__file__).with_name("speaking.py"))
    done = subprocess.run(
        [sys.executable, "-P", program],
        input=json.dumps(utterances).encode(),
        capture_output=True,
        check=False,
    )
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines() or [f"status {done.returncode}"]
        raise UsageError(f"the synthesizer espeak-ng failed: {said[-1]}")
    line, _, samples = done.stdout.partition(b"\n")
    header = json.loads(line)
    wave = np.frombuffer(samples, dtype=np.int16).astype(np.float32) / 32768
    return np.split(wave, np.cumsum(header["samples"])[:-1]), int(header["rate"])
