"""TOFU (Maini et al., 2401.06121): questions about invented authors, who are to be forgotten whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from mubench.errors import UsageError
from mubench.hub import reaching
from mubench.schema import within
from mubench.tasks.base import Raw, RawSplit
from mubench.tasks.generation import unlabelled
from mubench.tasks.hub import HubTask

Alternatives = tuple[str | None, list[str]]  # an answer in other words, and false answers


@dataclass
class Tofu(HubTask):
    """`splits` and `perturbed` name configurations of the data set, each a table of its own.

    Rows of `train` that also stand in one of `perturbed` have a paraphrased and several false answers;
    in the other splits every row has. An author is `per_author` rows in succession. Upstream has no
    test set: `test` is all that is not trained on, real authors and world facts together.
    """

    splits: dict[str, str] = field(default_factory=lambda: {"train": "full"})
    perturbed: list[str] = field(default_factory=list)
    per_author: int = 20

    foreign: ClassVar[frozenset[str]] = frozenset({"test", "real_authors", "world_facts"})

    def __post_init__(self) -> None:
        super().__post_init__()
        within("task.per_author", self.per_author, 1, 1e6)

    def load(self) -> Raw:
        """Rows in upstream's order."""
        train = self._train(self.table(self.splits["train"]))
        kept = {
            ours: self._kept(self.table(theirs)) for ours, theirs in self.splits.items() if ours != "train"
        }
        test = {name: [value for part in kept.values() for value in part[name]] for name in train}
        authors = np.arange(len(train["prompt"])) // self.per_author
        splits = {
            "train": RawSplit(train, unlabelled(len(authors)), authors.astype(np.int64)),
            **{name: _split(fields) for name, fields in {"test": test, **kept}.items()},
        }
        return Raw(splits, (), tuple(f"author {number}" for number in range(authors.max() + 1)))

    def _download(self, split: str) -> Any:
        """A configuration's only split."""
        import datasets

        other = f", or try task={self.alternative}" if self.alternative else ""
        with reaching(f"'{self.repository}' from the hub", f"and pass task.source=PATH{other}"):
            return datasets.load_dataset(self.repository, split, split="train", revision=self.revision)

    def _train(self, table: Any) -> dict[str, list[Any]]:
        """Questions and answers, with the alternatives of those that have some."""
        rows = {name: list(values) for name, values in self.columns(table).items()}
        known: dict[tuple[str, str], Alternatives] = {}
        for name in self.perturbed:
            other = self._perturbed(self.table(name), "paraphrased_answer")
            asked = list(zip(other["prompt"], other["answer"], strict=True))
            if not set(asked) & set(zip(rows["prompt"], rows["answer"], strict=True)):
                raise UsageError(f"{self.name}: no question of {name} stands in {self.splits['train']}")
            known |= dict(zip(asked, zip(other["paraphrase"], other["perturbed"], strict=True), strict=True))
        none: Alternatives = (None, [])
        pairs = [known.get(asked, none) for asked in zip(rows["prompt"], rows["answer"], strict=True)]
        return {**rows, "paraphrase": [p for p, _ in pairs], "perturbed": [false for _, false in pairs]}

    def _kept(self, table: Any) -> dict[str, list[Any]]:
        """Questions about the real world: the answer itself stands for its paraphrase."""
        return self._perturbed(table, self.fields["answer"])

    def _perturbed(self, table: Any, paraphrase: str) -> dict[str, list[Any]]:
        for column in (paraphrase, "perturbed_answer"):
            self.need(table, column)
        rows = {name: list(values) for name, values in self.columns(table).items()}
        return {**rows, "paraphrase": list(table[paraphrase]), "perturbed": list(table["perturbed_answer"])}


def _split(fields: Mapping[str, Sequence[Any]]) -> RawSplit:
    return RawSplit(fields, unlabelled(len(fields["prompt"])))
