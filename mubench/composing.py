"""Configs composed by Hydra: once for the yamls that a run chooses, whatever else its overrides change."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any, ClassVar

from hydra import compose, initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mubench import catalog
from mubench.checking import resolved
from mubench.keys import check_key
from mubench.overrides import mistake, text_of

Groups = tuple[str, ...]  # overrides that choose yamls
ANY = None  # in place of the nodes that a node reads: whatever
REFERENCE = re.compile(r"\$\{\s*([\w.]+:)?\s*(\w+)?")  # a resolver, or the first part of a name


class OwnFolders(SearchPathPlugin):
    """Puts a composer's folders before the packaged one: of several yamls of a name Hydra takes the first."""

    ahead: ClassVar[Sequence[Path]] = ()

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Called by Hydra when it starts, with the packaged folder as `main`."""
        for folder in self.ahead:
            search_path.prepend("mubench", f"file://{folder}", anchor="main")


class Composer:
    """Composes configs from some folders; what it has composed it knows."""

    def __init__(self, dirs: Sequence[Path]) -> None:
        self.dirs = list(dirs)
        self._bases: dict[Groups, Base] = {}

    @contextmanager
    def hydra(self) -> Iterator[None]:
        """Inside, Hydra works with these folders, in their order."""
        own, before = catalog.packaged_dir(), OwnFolders.ahead
        Plugins.instance().register(OwnFolders)
        OwnFolders.ahead = [folder for folder in self.dirs if folder != own]
        try:
            with initialize_config_dir(str(own), job_name="mubench", version_base="1.3"):
                yield
        finally:
            OwnFolders.ahead = before

    def compose(self, overrides: Sequence[str], hydra: bool = False) -> DictConfig:
        """The config of a run, with Hydra's own node if asked; UsageError for what Hydra refuses."""
        try:
            return compose("run", overrides=list(overrides), return_hydra_config=hydra)
        except (HydraException, OmegaConfBaseException) as error:
            raise mistake(error) from error

    def base(self, groups: Groups) -> Base:
        """The config of the chosen groups alone."""
        if groups not in self._bases:
            self._bases[groups] = Base(self.compose(groups))
        return self._bases[groups]


class Base:
    """A composed config, and what values make of it.

    Values decide nothing of which yamls are read: configs that differ in them need no new composition.
    Nor do they change a node that they do not lie in and that refers to none in which they lie.
    """

    def __init__(self, config: DictConfig) -> None:
        self._config = config
        plain: Any = OmegaConf.to_container(config)
        self._reads = _reached({name: _references(repr(node)) for name, node in plain.items()})
        self._still: dict[str, Any] = {}  # nodes as they are where nothing they depend on is changed
        self._right: set[str] = set()  # overrides of keys that there are

    def changed(self, values: Sequence[Override]) -> dict[str, Any]:
        """The config with some values changed, as Hydra changes them, as plain data.

        UsageError for a key that there is not, and for a value that Hydra refuses.
        """
        for override in values:
            self._check(override)
        touched = {override.key_or_group.split(".")[0] for override in values}
        still = {name for name, read in self._reads.items() if not (read is ANY or touched & {name, *read})}
        self._still |= resolved(self._config, [name for name in still if name not in self._still])
        with self._restored(touched):
            try:
                ConfigLoaderImpl._apply_overrides_to_config([*values], self._config)
            except (HydraException, OmegaConfBaseException) as error:
                raise mistake(error) from error
            names = [*map(str, self._config)]
            moved = resolved(self._config, [name for name in names if name not in still])
        return {name: moved[name] if name in moved else self._still[name] for name in names}

    def _check(self, override: Override) -> None:
        if text_of(override) not in self._right:
            check_key(override, self._config)
            self._right.add(text_of(override))

    @contextmanager
    def _restored(self, touched: Collection[str]) -> Iterator[None]:
        """Inside, the touched nodes may change; afterwards all are as before."""
        nodes = self._config.__dict__["_content"]
        before = dict(nodes)
        nodes |= {name: deepcopy(node) for name, node in before.items() if name in touched}
        try:
            yield
        finally:
            self._config.__dict__["_content"] = before


def _references(text: str) -> frozenset[str] | None:
    """The nodes that interpolations in a text name; ANY where that cannot be told."""
    found = set()
    for resolver, name in REFERENCE.findall(text):
        if resolver not in ("", "mul:") or not (resolver or name):
            return ANY
        found |= set() if resolver else {name}
    return frozenset(found)


def _reached(reads: Mapping[str, frozenset[str] | None]) -> dict[str, frozenset[str] | None]:
    """What each node reads, and what those read, and so on."""
    found = dict(reads)
    for _ in found:
        for name, read in found.items():
            if read is not ANY:
                further = [found.get(other, frozenset()) for other in read]
                known = [one for one in further if one is not ANY]
                found[name] = read.union(*known) if len(known) == len(further) else ANY
    return found
