"""Classification tasks whose rows lie on the hub, in a local copy of it, or are generated in its form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mubench.errors import UsageError
from mubench.hub import reaching
from mubench.tasks.base import Raw, RawSplit, Task

KINDS = ("parquet", "csv", "json", "jsonl")  # files that a local copy may consist of


@dataclass
class HubTask(Task):
    """Rows of a data set on the hub, pinned to a revision; a subclass says what their targets are."""

    repository: str = ""
    revision: str = "main"
    config: str | None = None
    fields: dict[str, str] = field(default_factory=dict)  # ours: theirs
    splits: dict[str, str] = field(default_factory=lambda: {"train": "train", "test": "test"})
    generate: dict[str, Any] | None = None  # a mini twin: what to generate in place of the hub's rows
    alternative: str = ""  # an offline task that the message of a failed download recommends

    def upstream(self) -> str:
        """The generator's settings, or the repository and revision."""
        made = self.generate
        return f"generated {sorted(made.items())}" if made else f"{self.repository}@{self.revision}"

    def table(self, split: str) -> Any:
        """One split of theirs as a table: generated, from the local copy, or from the hub."""
        if self.generate is not None:
            from hydra.utils import call

            return call(self.generate, split=split)
        if self.source is not None:
            return local_table(Path(self.source), split)
        return self._download(split)

    def _download(self, split: str) -> Any:
        import datasets

        other = f", or try task={self.alternative}" if self.alternative else ""
        with reaching(f"'{self.repository}' from the hub", f"and pass task.source=PATH{other}"):
            return datasets.load_dataset(self.repository, self.config, split=split, revision=self.revision)

    def columns(self, table: Any) -> dict[str, Any]:
        """Our fields of a table; encoded files stay encoded for their modality to decode."""
        import datasets

        undecoded = (datasets.Image, datasets.Audio, datasets.Video)
        for theirs in self.fields.values():
            self.need(table, theirs)
            feature = table.features[theirs]
            if isinstance(feature, undecoded):
                table = table.cast_column(theirs, type(feature)(decode=False))
        return {ours: table[theirs] for ours, theirs in self.fields.items()}

    def need(self, table: Any, column: str) -> None:
        """UsageError if the table lacks a column."""
        if column not in table.column_names:
            found = ", ".join(table.column_names)
            raise UsageError(f"{self.name}: the data has no field '{column}', only {found}")


@dataclass
class HubClassification(HubTask):
    """The target of a row is the class in one of its fields."""

    label_field: str = "label"

    def load(self) -> Raw:
        """Rows in the hub's order."""
        tables = {ours: self.table(theirs) for ours, theirs in self.splits.items()}
        classes = self._classes(tables["train"])
        splits = {
            name: RawSplit(self.columns(table), self._labels(name, table, len(classes)))
            for name, table in tables.items()
        }
        return Raw(splits, classes)

    def _classes(self, table: Any) -> tuple[str, ...]:
        self.need(table, self.label_field)
        names = getattr(table.features[self.label_field], "names", None)
        if names:
            return tuple(names)
        return tuple(str(label) for label in sorted(set(table[self.label_field])))

    def _labels(self, name: str, table: Any, classes: int) -> np.ndarray:
        self.need(table, self.label_field)
        labels = np.asarray(table[self.label_field], dtype=np.int64)
        wrong = np.flatnonzero((labels < 0) | (labels >= classes))
        if len(wrong):
            raise UsageError(
                f"{self.name}: row {wrong[0]} of {name} has the label {labels[wrong[0]]}, "
                f"outside 0 to {classes - 1}"
            )
        return labels


def local_table(folder: Path, split: str) -> Any:
    """One split of a local copy: what `save_to_disk` leaves, or the hub's parquet, csv or json files."""
    import datasets

    saved: Mapping[str, Path] = {"whole": folder / "dataset_dict.json", "one": folder / split}
    if saved["whole"].is_file() and saved["one"].is_dir():
        return datasets.load_from_disk(str(saved["one"]))
    for kind in KINDS:
        found = sorted(folder.rglob(f"*.{kind}"))
        files = [p for p in found if p.name.startswith(split)] or [p for p in found if p.parent.name == split]
        if files:
            return read_files(files)
    raise UsageError(
        f"task.source={folder}: no {split} split there (looked for dataset_dict.json of save_to_disk and for "
        f"{', '.join(f'{split}*.{kind}' for kind in KINDS)})"
    )


def read_files(files: Sequence[Path]) -> Any:
    """The rows of parquet, csv (with a header) or json files, all of one kind, one file after the other.

    An empty cell of a csv file is an empty text. UsageError for a file that cannot be read.
    """
    import datasets

    names = [str(path) for path in files]
    try:
        if files[0].suffix == ".parquet":
            return datasets.Dataset.from_parquet(names)
        if files[0].suffix == ".csv":
            return datasets.Dataset.from_csv(names, keep_default_na=False)
        return datasets.Dataset.from_json(names)
    except (datasets.exceptions.DatasetsError, OSError, ValueError) as error:
        reason = " ".join(str(error.__cause__ or error).split())[:200]
        raise UsageError(f"{', '.join(names)} cannot be read: {reason}") from error
