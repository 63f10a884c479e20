"""Generated clips for the mini twin of UCF101: a shape that moves, turns, grows ... as encoded video."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np

from mubench.tasks.shapes import COLOURS, SIZE, inside

FRAMES = 8
GROUPS = {"train": range(8, 26), "test": range(1, 8)}  # as in the first fold of UCF101
SHAPES = (1, 2, 3, 5)  # those that look another way when turned: square, triangle, cross, bar
# What a shape does, from its progress -1 .. 1 to (x, y) in pixels, scale and angle.
ACTIONS: dict[str, Callable[[float], tuple[float, float, float, float]]] = {
    "Grow": lambda t: (0, 0, 1 + 0.5 * t, 0),
    "MoveDown": lambda t: (0, 9 * t, 1, 0),
    "MoveLeft": lambda t: (-9 * t, 0, 1, 0),
    "MoveRight": lambda t: (9 * t, 0, 1, 0),
    "MoveUp": lambda t: (0, -9 * t, 1, 0),
    "Shrink": lambda t: (0, 0, 1 - 0.5 * t, 0),
    "Turn": lambda t: (0, 0, 1, 1.4 * t),
}


def moving_shapes(split: str, train: int, test: int, noise: float, seed: int) -> list[dict[str, Any]]:
    """Rows {"path": Class/v_Class_gNN_cNN.avi, "bytes": the file} of 8 frames of 32x32 pixels.

    A group has a colour and a shape of its own, as UCF101's has a person and a place. A share
    `noise` of the training clips lies in a wrong class, so that fitting them takes memorisation.
    """
    count, names = {"train": train, "test": test}[split], list(ACTIONS)
    rng = np.random.default_rng([seed, split == "test"])
    rows = []
    for number in range(count):
        action = number % len(names)
        group = GROUPS[split][number // len(names) % len(GROUPS[split])]
        file = encode(clip(names[action], SHAPES[group % len(SHAPES)], group % len(COLOURS), rng))
        if split == "train" and rng.random() < noise:
            action = (action + int(rng.integers(1, len(names)))) % len(names)
        name = names[action]
        rows.append({"path": f"{name}/v_{name}_g{group:02d}_c{number:04d}.avi", "bytes": file})
    return rows


def clip(action: str, shape: int, colour: int, rng: np.random.Generator) -> np.ndarray:
    """A clip (8, 32, 32, 3) uint8: place, size, angle and tempo of the shape are drawn."""
    size, start, ground = rng.uniform(4, 7), rng.uniform(-4, 4, 2), rng.uniform(30, 90)
    tilt, extent = rng.uniform(0, 6.3), rng.uniform(0.7, 1)
    still = rng.normal(ground, 12, (SIZE, SIZE, 3))
    frames = []
    for t in np.linspace(-extent, extent, FRAMES):
        across, down, scale, angle = ACTIONS[action](float(t))
        grid = np.arange(SIZE) - (SIZE - 1) / 2
        x, y = np.meshgrid(grid - start[0] - across, grid - start[1] - down)
        cos, sin = np.cos(angle + tilt) / (size * scale), np.sin(angle + tilt) / (size * scale)
        picture = still.copy()
        picture[inside(shape, cos * x + sin * y, cos * y - sin * x)] = COLOURS[colour]
        frames.append(picture + rng.normal(0, 4, still.shape))
    return np.stack(frames).clip(0, 255).astype(np.uint8)


def encode(frames: np.ndarray, codec: str = "mpeg4", container: str = "avi") -> bytes:
    """Frames (F, H, W, 3) uint8 as a video file, by default of the kind that UCF101 is made of."""
    import av

    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream(codec, rate=25)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt, stream.bit_rate, stream.thread_count = "yuv420p", 2_000_000, 1
        for frame in frames:
            output.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        output.mux(stream.encode())
    return file.getvalue()
