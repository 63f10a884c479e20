"""What a command will run: names and keys checked, sweeps spread out, every cell composed and typed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from fnmatch import fnmatch
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

from hydra import compose, initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mubench import catalog
from mubench.checking import Known, check_plain, resolved
from mubench.config import RunConfig
from mubench.errors import UsageError
from mubench.keys import check_free, check_key


class OwnFolders(SearchPathPlugin):
    """Puts a planner's folders before the packaged one: of several yamls of a name Hydra takes the first."""

    ahead: ClassVar[Sequence[Path]] = ()

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Called by Hydra when it starts, with the packaged folder as `main`."""
        for folder in self.ahead:
            search_path.prepend("mubench", f"file://{folder}", anchor="main")


class Planner:
    """Composes cells; knows the folders that configs come from."""

    def __init__(self, dirs: Sequence[Path]) -> None:
        self.dirs = list(dirs)
        self._bases: dict[tuple[str, ...], DictConfig] = {}
        self._plain: dict[tuple[str, ...], dict[str, Any]] = {}
        self._groups: dict[str, bool] = {}

    def overrides(self, typed: Sequence[str]) -> list[str]:
        """The typed overrides, globs over a group's choices written out; UsageError for wrong names."""
        return [self._spelt(override) for override in parse(typed)]

    def cells(self, typed: Sequence[str], multirun: bool) -> list[RunConfig]:
        """Every run of the command, checked, each once, in the order they will be launched."""
        with self._hydra():
            parsed = parse(self.overrides(typed))
            swept = self._sweep(parsed)
            if not multirun and not swept:
                self._refuse_lists(parsed)
            cells = split([*swept, *parsed]) if multirun or swept else [list(typed)]
            runs = [[text for text in cell if not _is_launching(parse([text])[0])] for cell in cells]
            known = Known()
            found = {run.fingerprint: run for run in (self._cell(run, known) for run in runs)}
        return list(found.values())

    def is_sweep(self, typed: Sequence[str]) -> bool:
        """Whether a `sweep=` among the overrides makes this a sweep without -m."""
        with self._hydra():
            return bool(self._sweep(parse(self.overrides(typed))))

    def cell(self, overrides: Sequence[str]) -> RunConfig:
        """One run, from the overrides that `cells` gave it."""
        with self._hydra():
            return self._cell(overrides)

    def choices(self, overrides: Sequence[str]) -> dict[str, str | None]:
        """What a run takes of each group: names by group[@node], of its root config by ""."""
        if len(self.dirs) == 1:
            return {}  # mubench's own: nothing can stand in their place
        with self._hydra():
            return {"": "run", **self._compose(overrides, hydra=True).hydra.runtime.choices}

    def launcher(self, typed: Sequence[str]) -> tuple[dict[str, Any], Path]:
        """The settings of the chosen launcher, and the folder that it may use."""
        with self._hydra():
            parsed = parse(self.overrides(typed))
            mine = [o for o in parsed if _is_launching(o) or o.key_or_group in ("out", "sweep")]
            self._check_launching([o for o in mine if _is_launching(o)])
            hydra = self._compose([o.input_line or "" for o in mine], hydra=True).hydra
            node: Any = OmegaConf.to_container(hydra.launcher, resolve=True)
            return node, Path(hydra.sweep.dir)

    def _check_launching(self, mine: Sequence[Override]) -> None:
        """UsageError for settings that the chosen launcher does not have, and for lists."""
        for override in mine:
            if override.is_sweep_override():
                raise UsageError(f"{override.input_line}: it is one for all runs")
        settings = [o for o in mine if o.key_or_group.startswith("hydra.launcher.")]
        if settings:
            base = self._compose([o.input_line or "" for o in mine if self._is_group(o)], hydra=True)
            for override in settings:
                check_free(override, base)

    @contextmanager
    def folders(self) -> Iterator[str]:
        """Inside, Hydra starts with this planner's folders, in their order; gives the packaged one."""
        own, before = catalog.packaged_dir(), OwnFolders.ahead
        Plugins.instance().register(OwnFolders)
        OwnFolders.ahead = [folder for folder in self.dirs if folder != own]
        try:
            yield str(own)
        finally:
            OwnFolders.ahead = before

    @contextmanager
    def _hydra(self) -> Iterator[None]:
        with (
            self.folders() as packaged,
            initialize_config_dir(packaged, job_name="mubench", version_base="1.3"),
        ):
            yield

    def _compose(self, overrides: Sequence[str], hydra: bool = False) -> DictConfig:
        try:
            return compose("run", overrides=list(overrides), return_hydra_config=hydra)
        except (HydraException, OmegaConfBaseException) as error:
            raise _mistake(error) from error

    def _cell(self, overrides: Sequence[str], known: Known | None = None) -> RunConfig:
        parsed = parse(overrides)
        groups = tuple(o.input_line or "" for o in parsed if self._is_group(o))
        for override in parsed:
            if not self._is_group(override):
                check_key(override, self._base(groups))
        values = [override for override in parsed if not self._is_group(override)]
        return check_plain(self._changed(groups, values), overrides, self.dirs, known)

    def _changed(self, groups: tuple[str, ...], values: list[Override]) -> dict[str, Any]:
        """The config of the chosen groups with some values changed, as Hydra changes them, resolved.

        Values decide nothing of which yamls are read: cells that differ in them need no new composition.
        Nor do they change a node that they do not lie in and that refers to no other.
        """
        base, same = self._base(groups), self._same(groups)
        touched = {override.key_or_group.split(".")[0] for override in values}
        nodes = base.__dict__["_content"]
        before = dict(nodes)
        nodes |= {name: deepcopy(node) for name, node in before.items() if name in touched}
        try:
            ConfigLoaderImpl._apply_overrides_to_config(values, base)
            names = [str(name) for name in base if name in touched or name not in same]
            return {**{str(name): same.get(str(name)) for name in base}, **resolved(base, names)}
        except (HydraException, OmegaConfBaseException) as error:
            raise _mistake(error) from error
        finally:
            base.__dict__["_content"] = before

    def _same(self, groups: tuple[str, ...]) -> dict[str, Any]:
        """The nodes of a base that refer to no other, as plain data."""
        if groups not in self._plain:
            plain: Any = OmegaConf.to_container(self._base(groups))
            self._plain[groups] = {name: node for name, node in plain.items() if "${" not in repr(node)}
        return self._plain[groups]

    def _base(self, groups: tuple[str, ...]) -> DictConfig:
        """The config of the chosen groups alone: what keys exist."""
        if groups not in self._bases:
            self._bases[groups] = self._compose(groups)
        return self._bases[groups]

    def _sweep(self, parsed: Sequence[Override]) -> list[Override]:
        """The lists that a chosen `sweep=` adds, its globs written out."""
        chosen = [o.input_line or "" for o in parsed if o.key_or_group == "sweep"]
        if not chosen:
            return []
        params = self._compose(chosen, hydra=True).hydra.sweeper.params or {}
        return parse(self.overrides([f"{key}={value}" for key, value in params.items()]))

    def _is_group(self, override: Override) -> bool:
        group = override.key_or_group.split("@")[0]
        if group not in self._groups:
            self._groups[group] = any((folder / group).is_dir() for folder in self.dirs)
        return self._groups[group]

    def _spelt(self, override: Override) -> str:
        """An override with its choices checked against the catalog."""
        line = override.input_line or ""
        if not self._is_group(override):
            return line
        if override.is_delete():
            return self._left_out(override)
        known = catalog.names(override.key_or_group.split("@")[0], self.dirs)
        value: Any = override.value()
        if isinstance(value, Glob):
            picked = [name for name in known if _globbed(name, value)]
            if not picked:
                raise UsageError(f"{line}: no {override.key_or_group} has such a name")
            return f"{override.key_or_group}={','.join(picked)}"
        for name in _choices(override):
            if name is not None:
                catalog.path_of(override.key_or_group.split("@")[0], str(name), self.dirs)
        return line

    def _left_out(self, override: Override) -> str:
        """The override that takes a group away; UsageError for one that a recipe is named by."""
        group = override.key_or_group
        if group in ("method", "modality"):
            raise UsageError(f"no {group} is chosen (mubench ls {catalog.plural(group)})")
        return override.input_line or ""

    def _refuse_lists(self, parsed: Sequence[Override]) -> None:
        for override in parsed:
            if override.is_sweep_override():
                raise UsageError(f"{override.input_line} lists several values: add -m for a sweep.")


def _is_launching(override: Override) -> bool:
    """Whether an override is about how runs are launched: no part of any run."""
    return re.match(r"hydra[./]", override.key_or_group) is not None


def parse(typed: Sequence[str]) -> list[Override]:
    """Overrides by Hydra's grammar; UsageError for what is not `key=value`."""
    try:
        return [_parsed(text) for text in typed]
    except HydraException as error:
        wrong = next((text for text in typed if "=" not in text and text[:1] != "~"), None)
        if wrong is not None:
            raise UsageError(f"'{wrong}' is not of the form key=value.") from error
        raise _mistake(error) from error


@lru_cache(maxsize=4096)
def _parsed(text: str) -> Override:
    """One override; cells of a sweep have most of theirs in common."""
    parser = OverridesParser.create()
    (found,) = parser.parse_overrides([text])
    return found


def _mistake(error: Exception) -> UsageError:
    return UsageError(" ".join(str(error).split("\n")[0].split()))


def split(overrides: Sequence[Override]) -> list[list[str]]:
    """The product of all lists, as Hydra's own sweeper makes it."""
    batches = BasicSweeper.split_arguments(list(overrides), max_batch_size=None)
    return [list(cell) for batch in batches for cell in batch]


def _globbed(name: str, glob: Glob) -> bool:
    chosen = any(fnmatch(name, pattern) for pattern in glob.include)
    return chosen and not any(fnmatch(name, pattern) for pattern in glob.exclude)


def _choices(override: Override) -> list[Any]:
    if override.is_sweep_override():
        return [text.strip("'\"") for text in override.sweep_string_iterator()]
    value = override.value()
    return value if isinstance(value, list) else [value]
