"""The trials of one search: Optuna's journal in a folder, shared by every process that works on it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock, Timeout
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, TrialState, create_trial

from mubench.environment import now
from mubench.files import locked, writing
from mubench.search.space import Choices, Settings, Space

optuna.logging.set_verbosity(optuna.logging.WARNING)
JOURNAL = "journal.log"
STATES = {
    TrialState.RUNNING: "running",
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}


@dataclass(frozen=True)
class Tried:
    """A trial: what was set, how it ended, its score."""

    number: int
    settings: Settings
    after: int | None = None  # the number of trials that had all destroyed a model before this gentler one
    state: str = "running"  # complete | pruned | failed | running: at work, or to be gone on with
    score: float = math.inf  # of a pruned trial what it cannot fall below
    facts: Mapping[str, Any] = field(default_factory=dict)  # runs, seconds; reason of a failure

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do for it."""
        return self.state != "running"


@dataclass(frozen=True)
class Outcome:
    """How a trial ended: complete with a score, pruned at a bound, or failed for a reason."""

    state: str
    score: float
    runs: int  # those that were carried out
    seconds: float  # of unlearning and evaluation
    reason: str | None = None


class Study:
    """Trials on disk. One process at a time claims one; a killed process's trial is claimed by the next."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with self._alone():
            lock = _Lock(folder / ".journal.lock")
            _mend(folder / JOURNAL, lock)
            storage = JournalStorage(JournalFileBackend(str(folder / JOURNAL), lock))
            self._study = optuna.create_study(storage=storage, study_name="search", load_if_exists=True)

    def trials(self) -> list[Tried]:
        """All of them, in the order they began in."""
        facts = self._study.user_attrs
        return [_tried(trial, facts.get(str(trial.number), {})) for trial in self.frozen()]

    def frozen(self) -> list[FrozenTrial]:
        """The same as Optuna has them."""
        return self._study.get_trials(deepcopy=False)

    @contextmanager
    def claimed(
        self, propose: Callable[[], Tried | None], space: Space, skip: set[int]
    ) -> Iterator[Tried | None]:
        """A trial that nobody else works on, while the block lasts; None where there is none now.

        First those that a killed process left, but those in `skip`, then the one that `propose` gives.
        """
        with ExitStack() as held:
            with self._alone():
                trial = self._left(skip, held) or self._new(propose(), space, held)
            yield trial

    def finish(self, number: int, outcome: Outcome) -> None:
        """Note how a trial ended; what is told about it stands first, so that it is never missing."""
        facts = {
            "runs": outcome.runs,
            "seconds": outcome.seconds,
            "reason": outcome.reason,
            "finished": now(),
        }
        with writing(self.folder):
            self._study.set_user_attr(str(number), {**facts, "score": _finite(outcome.score)})
            state = next(state for state, name in STATES.items() if name == outcome.state)
            value = outcome.score if outcome.state == "complete" else None
            self._study.tell(number, value, state)

    def wait(self, number: int) -> None:
        """Until the process that works on a trial has finished it, or is gone."""
        with self._lock(number):
            pass

    def _left(self, skip: set[int], held: ExitStack) -> Tried | None:
        """A trial that was begun and that no process works on any more, now held by this one."""
        for trial in self.trials():
            if trial.finished or trial.number in skip or not self._hold(trial.number, held):
                continue
            if not self.trials()[trial.number].finished:  # nor since it was looked at
                return trial
        return None

    def _new(self, trial: Tried | None, space: Space, held: ExitStack) -> Tried | None:
        """The trial, written and held."""
        if trial is not None:
            self._hold(trial.number, held)
            self._study.add_trial(_begun(trial, space))
        return trial

    def _hold(self, number: int, held: ExitStack) -> bool:
        """Take a trial's lock until `held` is closed; whether it was free."""
        lock = self._lock(number)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            return False
        held.callback(lock.release)
        return True

    def _lock(self, number: int) -> FileLock:
        return FileLock(self.folder / f".trial-{number}.lock")

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with locked(self.folder / ".lock", lambda: None):
            yield


class _Lock(JournalFileOpenLock):
    """The system's lock: a process that is killed lets it go, where Optuna's own is left behind."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self._lock = FileLock(path)

    def acquire(self) -> bool:
        self._lock.acquire()
        return True

    def release(self) -> None:
        self._lock.release()


def distributions(space: Space) -> dict[str, BaseDistribution]:
    """A space as Optuna has it."""
    found: dict[str, BaseDistribution] = {}
    for name, values in space.items():
        if isinstance(values, Choices):
            found[name] = CategoricalDistribution(values.values)
        elif values.whole:
            found[name] = IntDistribution(int(values.low), int(values.high), log=values.log)
        else:
            found[name] = FloatDistribution(values.low, values.high, log=values.log)
    return found


def _begun(trial: Tried, space: Space) -> FrozenTrial:
    """A trial as it is written when it begins; one whose settings are none of the space's has no params."""
    inside = trial.after is None and set(trial.settings) == set(space)
    return create_trial(
        state=TrialState.RUNNING,
        params=trial.settings if inside else {},
        distributions=distributions(space) if inside else {},
        user_attrs={"settings": trial.settings, "after": trial.after},
    )


def _tried(trial: FrozenTrial, facts: Mapping[str, Any]) -> Tried:
    attributes, score = trial.user_attrs, facts.get("score")
    return Tried(
        trial.number,
        attributes["settings"],
        attributes["after"],
        STATES[trial.state],
        math.inf if score is None else score,
        facts,
    )


def _finite(score: float) -> float | None:
    return score if math.isfinite(score) else None


def _mend(journal: Path, lock: _Lock) -> None:
    """Cut off a last line that a full disk has torn: nothing rests on it, and no line could follow it."""
    lock.acquire()
    try:
        whole = journal.read_bytes() if journal.is_file() else b""
        if not whole.endswith(b"\n") and whole:
            with journal.open("r+b") as stream:
                stream.truncate(whole.rfind(b"\n") + 1)
    finally:
        lock.release()


def best_of(trials: Sequence[Tried]) -> float:
    """The lowest score of the complete ones; infinite where there is none."""
    return min((trial.score for trial in trials if trial.state == "complete"), default=math.inf)
