"""Classification with a second data set of the same classes, of which models see nothing in training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mubench.errors import UsageError
from mubench.tasks.base import Raw, RawSplit
from mubench.tasks.hub import HubClassification


@dataclass
class WithOod(HubClassification):
    """A data set of the hub, and as its split `ood` all rows of another one.

    `ood` holds the other's settings, as they would stand in a task of its own: repository, revision,
    config, fields, label_field, splits, generate. Its splits follow one another in the order named.
    """

    ood: dict[str, Any] | None = None
    ood_source: str | None = None  # a local folder with the other data set

    def load(self) -> Raw:
        """The data set's own splits, and `ood`; UsageError where the two have not as many classes."""
        raw = super().load()
        if self.ood is None:
            return raw
        try:
            other = self._other().load()
        except UsageError as error:
            raise _elsewhere(error) from error
        if len(other.classes) != len(raw.classes):
            raise UsageError(
                f"{self.name}: the ood data has the classes {', '.join(other.classes)}, "
                f"not {', '.join(raw.classes)}"
            )
        return Raw({**raw.splits, "ood": joined(list(other.splits.values()))}, raw.classes)

    def identity(self) -> str:
        """What stands for both data sets."""
        own = super().identity()
        return own if self.ood is None else f"{own}, ood {self._other().identity()}"

    def _other(self) -> HubClassification:
        settings = {"name": f"{self.name} ood", "modality": self.modality, **(self.ood or {})}
        try:
            return HubClassification(source=self.ood_source, **settings)
        except UsageError as error:
            raise _elsewhere(error) from error
        except TypeError as error:
            raise UsageError(f"task.ood: {str(error).split('() ')[-1]}") from error


def _elsewhere(error: UsageError) -> UsageError:
    """What is said of the other data set names the setting that gives its folder."""
    return UsageError(str(error).replace("task.source", "task.ood_source"))


def joined(splits: list[RawSplit]) -> RawSplit:
    """The rows of several splits, one split after the other."""
    fields = {name: [value for split in splits for value in split.fields[name]] for name in splits[0].fields}
    return RawSplit(fields, np.concatenate([split.labels for split in splits]))
