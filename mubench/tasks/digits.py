"""Handwritten digits, 8x8 pixels, from scikit-learn (Alpaydin & Kaynak, 1998): real and embedded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mubench.tasks.base import Raw, RawSplit, Task


@dataclass
class Digits(Task):
    """1,797 images of ten digits; a fifth, class by class, is the test set."""

    test: float = 20.0  # percent

    def upstream(self) -> str:
        """The test share and seed: the images themselves never changed since scikit-learn 0.1."""
        return f"sklearn digits test {self.test} seed {self.seed}"

    def load(self) -> Raw:
        """Pixels scaled from 0..16 to 0..255."""
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split

        images, labels = load_digits(return_X_y=True)
        pixels = np.round(images.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
        train, test = train_test_split(
            np.arange(len(labels)), test_size=self.test / 100, stratify=labels, random_state=self.seed
        )
        rows = {"train": np.sort(train), "test": np.sort(test)}
        splits = {
            name: RawSplit({"image": pixels[at]}, labels[at].astype(np.int64)) for name, at in rows.items()
        }
        return Raw(splits, tuple(str(digit) for digit in range(10)))
