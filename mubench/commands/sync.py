"""usage: mubench sync [RUN ...] [--dry-run] [project=NAME] [entity=NAME] [out=PATH]

Upload finished runs to Weights & Biases: those that were tracked offline, and those that were not
tracked, whose record, curves and tables are replayed. RUN is a run's directory or an outputs folder (all
finished runs below it); without one, out=PATH. What W&B has is left out; a run that was scored again or
repeated since is uploaded again, into the same W&B run. It needs a key (WANDB_API_KEY or `wandb login`).

  --dry-run        say what would be uploaded
  project=NAME     instead of that of the runs (mubench show tracking wandb has its default)
  entity=NAME      a user or a team, likewise; group=, tags=[...] and artifact=true count for replayed runs
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mubench.commands import arguments
from mubench.errors import RunFailed, UsageError, did_you_mean
from mubench.extras import need

if TYPE_CHECKING:
    from mubench.records import Record
    from mubench.tracking.owed import Owed

LATER = ("mode", "patience", "name", "_target_")  # settings of a run at work


def main(argv: Sequence[str]) -> int:
    """Find what is owed, prepare it, upload it; 1 if a run could not be uploaded."""
    arguments_, defaults = arguments.read(argv, {"--dry-run": "dry-run"}), _defaults()
    out, words = arguments.out_of(arguments_.words)
    places = [Path(word) for word in words if "=" not in word]
    typed = _typed([word for word in words if "=" in word], defaults)
    from mubench.tracking import owed as wandb_owes

    runs, corrupt = _finished(places or [out])
    found = [one for folder, record in runs if (one := wandb_owes.owed(folder, record)) is not None]
    for error in corrupt:
        print(f"not uploaded: {error}", file=sys.stderr)
    if "dry-run" in arguments_.flags:
        _print_plan(found, len(runs))
    elif found:
        need("mubench sync", "wandb", extra="wandb")
        _upload(found, defaults, typed)
    else:
        print(f"{len(runs)} finished runs, all of them uploaded")
    return 1 if corrupt else 0


def _defaults() -> dict[str, Any]:
    """The settings of tracking=wandb."""
    from omegaconf import OmegaConf

    from mubench import catalog

    node = OmegaConf.to_container(OmegaConf.load(catalog.packaged_dir() / "tracking" / "wandb.yaml"))
    assert isinstance(node, dict)
    return {str(name): value for name, value in node.items()}


def _typed(words: Sequence[str], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of the tracker among the words, checked."""
    from omegaconf import OmegaConf

    from mubench.typed import component

    typed = {str(name): value for name, value in OmegaConf.from_dotlist(list(words)).items()}
    known = [name for name in defaults if name not in LATER]
    for name in typed:
        if name not in known:
            raise UsageError(f"sync has no setting '{name}'.{did_you_mean(name, [*known, 'out'])}")
    component({**defaults, **typed}, "tracking")
    return typed


def _finished(places: Sequence[Path]) -> tuple[list[tuple[Path, Record]], list[str]]:
    """Runs that have a record, complete or not, each once, and what is wrong with the others' records."""
    from mubench.records import Record, query, read
    from mubench.submissions.found import group_of

    found: dict[Path, Record] = {}
    corrupt = []
    for place in places:
        if (group := group_of(place)) is not None:
            raise UsageError(f"{place} is a run of the group {group}: sync uploads your own runs only")
        run = (place / "config.yaml").is_file() or (place / "record.json").is_file()
        below = [(place, read(place))] if run else list(query(place))
        if not below:
            raise UsageError(f"{place} is neither a run's directory nor an outputs folder with runs")
        corrupt += [str(record) for _, record in below if isinstance(record, Exception)]
        found |= {folder: record for folder, record in below if isinstance(record, Record)}
    return list(found.items()), corrupt


def _print_plan(found: Sequence[Owed], finished: int) -> None:
    print(f"{finished} finished runs, {len(found)} to upload")
    for one in found:
        parts = [f"{len(one.waiting)} W&B folders"] if one.waiting else []
        print(f"  {one.folder}: {', '.join([*parts, *(['its record'] if one.untold else [])])}")


def _upload(found: Sequence[Owed], defaults: Mapping[str, Any], typed: Mapping[str, Any]) -> None:
    """RunFailed where W&B did not take all."""
    from mubench.tracking import owed as wandb_owes
    from mubench.tracking import reach

    server = reach.silenced()
    if why := reach.without_key():
        raise UsageError(f"W&B cannot be reached: {why}")
    tried = list(wandb_owes.replayed(found, defaults, typed))
    ready = [one for one, said in tried if said is None]
    if why := reach.without_answer(server):
        raise RunFailed(f"W&B cannot be reached: {why}; {len(ready)} runs wait for the next mubench sync")
    failed = 0
    for one, said in [*wandb_owes.upload(ready, typed), *(pair for pair in tried if pair[1] is not None)]:
        failed += said is not None
        print(f"{one.folder}: {'uploaded' if said is None else f'not uploaded: {said}'}")
    if failed:
        raise RunFailed(f"{failed} of {len(found)} runs were not uploaded; mubench sync tries them again")
