"""What a command will run: names and keys checked, sweeps spread out, every cell composed and typed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override
from omegaconf import OmegaConf

from mubench.checking import check_plain
from mubench.composing import Composer
from mubench.config import RunConfig
from mubench.errors import UsageError
from mubench.keys import check_free
from mubench.overrides import is_launching, parse, refuse_lists, spelt, split, text_of
from mubench.typed import Known


class Planner:
    """Composes cells; knows the folders that configs come from."""

    def __init__(self, dirs: Sequence[Path]) -> None:
        self.dirs = list(dirs)
        self.composer = Composer(dirs)
        self._groups: dict[str, bool] = {}

    def overrides(self, typed: Sequence[str]) -> list[str]:
        """The typed overrides, globs over a group's choices written out; UsageError for wrong names."""
        return [spelt(o, self.dirs) if self._is_group(o) else text_of(o) for o in parse(typed)]

    def cells(self, typed: Sequence[str], multirun: bool) -> list[RunConfig]:
        """Every run of the command, checked, each once, in the order they will be launched."""
        with self.composer.hydra():
            parsed = parse(self.overrides(typed))
            swept = self._sweep(parsed)
            if not multirun and not swept:
                refuse_lists(parsed)
            cells = split([*swept, *parsed]) if multirun or swept else [list(typed)]
            runs = [[text for text in cell if not is_launching(parse([text])[0])] for cell in cells]
            known = Known()
            found = {run.fingerprint: run for run in (self._cell(run, known) for run in runs)}
        return list(found.values())

    def is_sweep(self, typed: Sequence[str]) -> bool:
        """Whether a `sweep=` among the overrides makes this a sweep without -m."""
        with self.composer.hydra():
            return bool(self._sweep(parse(self.overrides(typed))))

    def cell(self, overrides: Sequence[str]) -> RunConfig:
        """One run, from the overrides that `cells` gave it."""
        with self.composer.hydra():
            return self._cell(overrides, Known())

    def choices(self, overrides: Sequence[str]) -> dict[str, str | None]:
        """What a run takes of each group: names by group[@node], of its root config by ""."""
        if len(self.dirs) == 1:
            return {}  # mubench's own: nothing can stand in their place
        with self.composer.hydra():
            return {"": "run", **self.composer.compose(overrides, hydra=True).hydra.runtime.choices}

    def launcher(self, typed: Sequence[str]) -> tuple[dict[str, Any], Path]:
        """The settings of the chosen launcher, and the folder that it may use."""
        with self.composer.hydra():
            parsed = parse(self.overrides(typed))
            mine = [o for o in parsed if is_launching(o) or o.key_or_group in ("out", "sweep")]
            self._check_launching([o for o in mine if is_launching(o)])
            hydra = self.composer.compose([*map(text_of, mine)], hydra=True).hydra
            node: Any = OmegaConf.to_container(hydra.launcher, resolve=True)
            return node, Path(hydra.sweep.dir)

    def _check_launching(self, mine: Sequence[Override]) -> None:
        """UsageError for settings that the chosen launcher does not have, and for lists."""
        for override in mine:
            if override.is_sweep_override():
                raise UsageError(f"{override.input_line}: it is one for all runs")
        settings = [o for o in mine if o.key_or_group.startswith("hydra.launcher.")]
        if settings:
            base = self.composer.compose([text_of(o) for o in mine if self._is_group(o)], hydra=True)
            for override in settings:
                check_free(override, base)

    def _cell(self, overrides: Sequence[str], known: Known) -> RunConfig:
        parsed = parse(overrides)
        groups = tuple(text_of(o) for o in parsed if self._is_group(o))
        values = [override for override in parsed if not self._is_group(override)]
        return check_plain(self.composer.base(groups).changed(values), overrides, self.dirs, known)

    def _sweep(self, parsed: Sequence[Override]) -> list[Override]:
        """The lists that a chosen `sweep=` adds, its globs written out."""
        chosen = [text_of(o) for o in parsed if o.key_or_group == "sweep"]
        if not chosen:
            return []
        params = self.composer.compose(chosen, hydra=True).hydra.sweeper.params or {}
        return parse(self.overrides([f"{key}={value}" for key, value in params.items()]))

    def _is_group(self, override: Override) -> bool:
        group = override.key_or_group.split("@")[0]
        if group not in self._groups:
            self._groups[group] = any((folder / group).is_dir() for folder in self.dirs)
        return self._groups[group]
