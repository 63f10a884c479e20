"""What a run works with once its data is loaded: shared by models, methods and evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from mubench import encoding, models, prediction, processes
from mubench.adapters.base import Adapter
from mubench.config import RunConfig
from mubench.curricula.base import Curriculum
from mubench.data import Batch, Columns, Dataset, ForgetSplit, Stream
from mubench.engine import Engine
from mubench.metrics.base import Outputs
from mubench.modalities.base import Modality
from mubench.models import ModelSpec
from mubench.progress import Reporter
from mubench.typed import component


@dataclass(frozen=True)
class Workbench:
    """The data where it is read from, the network's description, the deletion, the engine."""

    config: RunConfig
    data: Dataset
    columns: Mapping[str, Columns]  # train, validation, test: resident where batches are cut
    split: ForgetSplit
    spec: ModelSpec
    modality: Modality
    adapter: Adapter
    curriculum: Curriculum
    engine: Engine
    reporter: Reporter

    @property
    def classes(self) -> int:
        """Outputs of the model's head, 0 where it gives no classes."""
        return self.modality.outputs(self.spec.classes)

    def rows(self, name: str) -> Tensor:
        """Rows (n,) of a set: forget and retain in the training columns, else the whole split."""
        if name in ("forget", "retain"):
            return torch.from_numpy(getattr(self.split, name))
        return torch.arange(len(self.columns[name]) if name in self.columns else 0)

    def predict(self, model: nn.Module, split: str, rows: np.ndarray | None = None) -> Outputs:
        """Predictions of a model on a split, or on some rows; D_f's and D_r's are rows of train."""
        size, negative = self.config.settings.evaluation.batch_size, self.data.facts.get("negative")
        foreign, columns = split in self.data.facts.get("foreign", ()), self._columns(split)
        return prediction.predict(
            model, columns, rows, self.modality, self.spec.input, self.engine, size, negative, foreign
        )

    def batches(self, split: str, rows: np.ndarray) -> Iterator[Batch]:
        """Some rows of a split in their order, in batches as evaluation has them, prepared without draws."""
        size, at = self.config.settings.evaluation.batch_size, torch.from_numpy(rows)
        for batch in Stream(self._columns(split), at, size, self.engine.device).batches(None):
            yield self.modality.prepare(batch, self.spec.input, None)

    def _columns(self, split: str) -> Columns:
        return self.columns["train" if split in ("forget", "retain") else split]


def lay_out(config: RunConfig, reporter: Reporter) -> Workbench:
    """Load and encode the data, choose the forget set, describe the network."""
    settings = config.settings
    engine = Engine(settings.trainer)
    engine.join()
    modality: Modality = component(settings.modality, "modality")
    task = component(settings.task, "task")
    data = processes.main_first(lambda: encoding.load(task, modality, settings.model, config.out, reporter))
    split = component(settings.deletion, "deletion").choose(data, settings.seed.forget)
    spec = models.describe(settings.model, data, modality)
    columns = {name: engine.reside(part) for name, part in data.splits.items()}
    adapter: Adapter = component(settings.adapter, "adapter")
    curriculum: Curriculum = component(settings.curriculum, "curriculum")
    return Workbench(config, data, columns, split, spec, modality, adapter, curriculum, engine, reporter)
