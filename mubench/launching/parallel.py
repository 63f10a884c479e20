"""Several runs side by side on one machine: a worker process for each GPU, or for a share of the cores."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from mubench.config import RunConfig
from mubench.engine import available_cores
from mubench.launching.assignments import spread
from mubench.launching.base import Errand, Failure, Launcher, Outcome, fresh
from mubench.launching.board import Board, serve
from mubench.launching.seats import Seat
from mubench.launching.work import own_dirs
from mubench.report.plan import is_complete
from mubench.schema import within


@dataclass
class Parallel(Launcher):
    """Workers of this machine: shared models first, then all runs; one that dies is replaced."""

    name: str = "parallel"
    workers: int | None = None  # null: as many as GPUs, without one as many as cores

    def __post_init__(self) -> None:
        if self.workers is not None:
            within("hydra.launcher.workers", self.workers, 1, 4096)

    def launch(self, errand: Errand) -> list[Outcome]:
        """All runs; each worker's words are in its log."""
        waiting = [cell for cell in errand.cells if not is_complete(cell)]
        ended: dict[str, Failure | None] = {}
        if waiting:
            board = Board(spread(waiting))
            seats = self._seats(waiting, errand, len(board.pieces))
            _announce(len(errand.cells), len(waiting), seats)
            serve(board, seats)
            ended = board.outcomes()
        return [(cell, ended.get(str(cell.run_dir))) for cell in errand.cells]

    def _seats(self, cells: Sequence[RunConfig], errand: Errand, most: int) -> list[Seat]:
        gpus, cores = gpus_for(cells), available_cores()
        count = min(self.workers or len(gpus) or cores, most)
        folder, dirs = fresh(errand.folder), own_dirs(errand.planner)
        return [
            Seat(
                number,
                folder / f"worker-{number}.log",
                dirs,
                threads=max(1, cores // count),
                gpu=gpus[number % len(gpus)] if gpus else None,
            )
            for number in range(count)
        ]


def _announce(runs: int, waiting: int, seats: Sequence[Seat]) -> None:
    crew = f"{len(seats)} worker{'s' * (len(seats) > 1)}, {seats[0].means}; logs in {seats[0].log.parent}"
    print(f"{runs} runs: {runs - waiting} complete, {waiting} for {crew}", file=sys.stderr)


def gpus_for(cells: Sequence[RunConfig]) -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them; none if no run wants one."""
    import torch

    if all(cell.settings.trainer.device == "cpu" for cell in cells):
        return []
    count = torch.cuda.device_count()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return (visible.split(",") if visible else [str(number) for number in range(count)])[:count]
