"""What a search found, as a recipe that `mubench run` reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from omegaconf import OmegaConf

from mubench.files import write_text
from mubench.records import Record
from mubench.search.judging import means, roles, score_of
from mubench.search.searching import Search
from mubench.search.space import SHARE, Settings, described
from mubench.search.study import Tried


def write(search: Search, best: Tried, command: str, into: Path) -> Path:
    """Write the best trial below `into`, where `--config-dir` finds it; the file.

    Its header says what was found, by which command, with which numbers.
    """
    path = into / "recipe" / search.method / f"{search.modality}.yaml"
    whole = search.whole(best)
    records = search.objective.records(best.settings)
    header = [
        "# @package _global_",
        f"# {search.method} on {search.modality}: {described(whole)}",
        f"# {command}",
        f"# {max(trial.facts.get('finished', '') for trial in search.trials())[:10]}, {summary(search)}",
        *(f"# {line}" for some in records for line in numbers(some)),
    ]
    write_text(path, "\n".join([*header, _yaml(whole)]))
    return path


def summary(search: Search) -> str:
    """How many trials there were, the method's own yaml, and the best, in words."""
    trials = search.trials()
    complete = [trial for trial in trials if trial.state == "complete"]
    own = next((f"{trial.score:.2f}" for trial in complete if not trial.settings), "failed")
    best = min(trial.score for trial in complete)
    kinds = [f"{sum(t.state == s for t in trials)} {s}" for s in ("pruned", "failed")]
    told = "".join(f", {kind}" for kind in kinds if not kind.startswith("0 "))
    return f"{len(trials)} trials{told}: {own} as it is, {best:.2f} at best"


def numbers(records: Sequence[Record]) -> list[str]:
    """What one task's runs came to, as lines of a recipe's header."""
    original, goal, found = (means(models) for models in zip(*map(roles, records), strict=True))
    loss = [f"{values['forget_loss']:.4f}" for values in (original, found, goal)]
    lines = [f"{records[0].key['task']}: forget loss {loss[0]} -> {loss[1]}, retrained {loss[2]};"]
    score = score_of(found)
    name = f"validation_{score or 'loss'}"
    cells = [
        f"{100 * values[name]:.1f} %" if score else f"{values[name]:.4f}"
        for values in (original, found, goal)
    ]
    return [*lines, f"  {name.replace('_', ' ')} {cells[0]} -> {cells[1]}, retrained {cells[2]}"]


def _yaml(settings: Settings) -> str:
    tree = OmegaConf.create()
    for name, value in settings.items():
        OmegaConf.update(tree, name, f"${{mul:${{training.lr}},{value}}}" if name == SHARE else value)
    return OmegaConf.to_yaml(tree)
