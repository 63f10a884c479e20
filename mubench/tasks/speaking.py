"""Speech by espeak-ng, as a program of its own: the library keeps state, so that what it says depends on
all that it said before, and a fresh process is the only way to the same samples again.

    python -P speaking.py < utterances.json > samples

Reads a JSON list of [text, variant, words a minute, pitch 0-99]; writes the rate and the numbers of samples
as a line of JSON, then all samples as native 16-bit integers.
"""

from __future__ import annotations

import ctypes
import json
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

SYNCHRONOUS, BY_CHARACTER, UTF8 = 2, 1, 1  # of espeak's speak_lib.h
RATE, PITCH = 1, 3  # its numbers of parameters
SEED = 42

Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


class Voice:
    """The library with one callback that collects samples; RuntimeError names what it refuses."""

    def __init__(self) -> None:
        package = import_module("espeakng_loader")
        self._data = Path(package.get_data_path())
        self._library = ctypes.CDLL(package.get_library_path())
        self._chunks: list[bytes] = []
        self.rate = self._library.espeak_Initialize(SYNCHRONOUS, 0, str(self._data).encode(), 0)
        if self.rate <= 0:
            raise RuntimeError(f"espeak_Initialize returned {self.rate}")
        self._callback = Callback(self._collect)  # kept: the library holds a bare pointer to it
        self._library.espeak_SetSynthCallback(self._callback)

    def _collect(self, samples: Any, count: int, _events: Any) -> int:
        if samples and count > 0:
            self._chunks.append(ctypes.string_at(samples, 2 * count))
        return 0

    def say(self, text: str, variant: str, pace: int, pitch: int) -> bytes:
        """The samples of a text; an unknown variant is refused here, the library would take another."""
        if not (self._data / "voices" / "!v" / variant).is_file():
            raise RuntimeError(f"espeak-ng has no voice variant '{variant}'")
        self._chunks.clear()
        self._library.espeak_ng_SetRandSeed(ctypes.c_long(SEED))
        words = text.encode() + b"\0"
        self._done("SetVoiceByName", self._library.espeak_SetVoiceByName(f"en+{variant}".encode()))
        self._done("SetParameter", self._library.espeak_SetParameter(RATE, pace, 0))
        self._done("SetParameter", self._library.espeak_SetParameter(PITCH, pitch, 0))
        size = ctypes.c_size_t(len(words))
        self._done("Synth", self._library.espeak_Synth(words, size, 0, BY_CHARACTER, 0, UTF8, None, None))
        self._done("Synchronize", self._library.espeak_Synchronize())
        if not self._chunks:
            raise RuntimeError(f"espeak-ng said nothing for '{text}' in the voice '{variant}'")
        return b"".join(self._chunks)

    def _done(self, name: str, status: int) -> None:
        if status != 0:
            raise RuntimeError(f"espeak_{name} returned {status}")


def main(utterances: Sequence[tuple[str, str, int, int]]) -> None:
    """Say everything in the order given, to the standard output."""
    voice = Voice()
    said = [voice.say(*utterance) for utterance in utterances]
    header = {"rate": voice.rate, "samples": [len(samples) // 2 for samples in said]}
    sys.stdout.buffer.write(json.dumps(header).encode() + b"\n" + b"".join(said))


if __name__ == "__main__":
    main(json.load(sys.stdin))
