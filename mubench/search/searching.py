"""One search: trials of a method on one kind of task, carried out until the budget is spent."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path

from mubench.errors import Diverged, RunFailed
from mubench.progress import Reporter
from mubench.search.judging import DESTROYED
from mubench.search.objective import Objective
from mubench.search.proposal import proposed
from mubench.search.space import Settings, Space, described, gentler, ordered, size
from mubench.search.study import JOURNAL, Outcome, Study, Tried, best_of


@dataclass(frozen=True)
class Budget:
    """The same for every method: so many trials, or trials until their runs took so many minutes."""

    trials: int | None = None
    minutes: float | None = None

    def of(self, trials: Sequence[Tried]) -> list[Tried]:
        """Those of some trials that belong to it."""
        return list(trials[: self.trials])

    def left(self, trials: Sequence[Tried]) -> bool:
        """Whether another trial may begin after these."""
        if self.trials is not None:
            return len(trials) < self.trials
        spent: float = sum(trial.facts.get("seconds", 0.0) for trial in trials)
        return spent < 60 * (self.minutes or 0.0)

    def __str__(self) -> str:
        return f"{self.trials} trials" if self.trials is not None else f"{self.minutes:g} minutes"


@dataclass
class Search:
    """A method on one kind of task."""

    method: str
    modality: str
    objective: Objective
    space: Space
    budget: Budget
    out: Path
    own: Settings  # of what is searched, and of what was typed, the values in the method as it is
    forgets: bool  # whether the method looks at D_f
    reporter: Reporter
    failures: dict[int, str] = field(default_factory=dict)  # trials that this process could not carry out

    @property
    def title(self) -> str:
        """What is searched, in words."""
        return f"{self.method} on {', '.join(self.objective.tasks)}"

    @cached_property
    def folder(self) -> Path:
        """Where the trials are kept: another for other runs or another space, the same for any budget."""
        runs = sorted(cell.fingerprint for cell in self.objective.cells)
        space = {name: [type(values).__name__, asdict(values)] for name, values in self.space.items()}
        digest = hashlib.sha256(json.dumps([runs, space], sort_keys=True).encode()).hexdigest()
        return self.out / "studies" / self.method / f"{self.modality}-{digest[:8]}"

    @property
    def begun(self) -> bool:
        """Whether there are trials of it."""
        return (self.folder / JOURNAL).is_file()

    @cached_property
    def study(self) -> Study:
        """Its trials on disk, which begins it."""
        return Study(self.folder)

    def trials(self) -> list[Tried]:
        """The trials of the budget, and the gentler ones after all of them destroyed a model."""
        found = self.study.trials()
        counted = self.budget.of([trial for trial in found if trial.after is None])
        return [*counted, *(trial for trial in found if trial.after == len(counted))]

    def work(self, wait: bool) -> bool:
        """Carry out trials while there are some to claim; whether all are finished then.

        With `wait` also those that another process works on now, should it be killed.
        """
        while True:
            with self.study.claimed(self.next, self.space, set(self.failures)) as trial:
                if trial is not None:
                    self._carry_out(trial)
                    continue
            others = [t for t in self.trials() if not t.finished and t.number not in self.failures]
            if not others:
                return True
            if not wait:
                return False
            self.reporter.say(f"Waiting for another process with trial {others[0].number} of {self.title}")
            self.study.wait(others[0].number)

    def next(self) -> Tried | None:
        """The trial that is to be begun now, if any."""
        found = self.study.trials()
        counted = [trial for trial in found if trial.after is None]
        if self.budget.left(counted) and len(counted) < size(self.space):
            earlier = [{name: self.whole(trial)[name] for name in self.space} for trial in counted]
            settings = proposed(self.space, len(counted), earlier, self.study.frozen())
            return Tried(len(found), settings)
        return self._gentler(len(found))

    def whole(self, trial: Tried) -> Settings:
        """All settings that are searched or were typed, as the trial had them."""
        found = {**self.own, **trial.settings}
        return {name: found[name] for name in ordered(list(found))}

    def _gentler(self, number: int) -> Tried | None:
        """The next gentler trial where every one so far destroyed a model, else none."""
        trials = self.trials()
        if not all(trial.finished for trial in trials) or best_of(trials) < DESTROYED:
            return None
        counted = [trial for trial in trials if trial.after is None]
        base = min(counted, key=lambda trial: (trial.score, trial.number))
        searched = {name: value for name, value in self.whole(base).items() if name in self.space}
        left = gentler(searched, self.forgets)[len(trials) - len(counted) :]
        return Tried(number, left[0], after=len(counted)) if left else None

    def _carry_out(self, trial: Tried) -> None:
        """One trial; what it could not be carried out for is told, and kept for the end."""
        settings = {name: trial.settings[name] for name in ordered(list(trial.settings))}
        said = f"{self.title}, trial {trial.number}: {described(settings) or 'as it is'}"
        try:
            outcome = self.objective.outcome(trial.settings, best_of(self.study.trials()))
        except RunFailed as error:
            assert not isinstance(error, Diverged)
            self.failures[trial.number] = str(error)
            self.reporter.say(f"{said}: {error}")
            return
        self.study.finish(trial.number, outcome)
        self.reporter.say(f"{said}: {_told(outcome)}")


def _told(outcome: Outcome) -> str:
    if outcome.reason is not None:
        return f"failed: {outcome.reason}"
    if outcome.state == "pruned":
        return f"cannot win, at least {outcome.score:.2f} (runs: {outcome.runs})"
    return f"{outcome.score:.3f}"


def ranked(trials: Sequence[Tried]) -> list[Tried]:
    """Complete trials by their scores, then pruned ones, then those that failed."""
    order = ("complete", "pruned", "failed", "running")

    def key(trial: Tried) -> tuple[int, float, int]:
        return order.index(trial.state), trial.score if math.isfinite(trial.score) else 0.0, trial.number

    return sorted(trials, key=key)
