"""Every check of one method on the tasks that it serves, and the files of code that were checked."""

from __future__ import annotations

import inspect
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mubench.config import RunConfig
from mubench.environment import now
from mubench.errors import NotApplicable
from mubench.methods.base import Method
from mubench.modalities.base import Modality
from mubench.plan import Planner
from mubench.typed import component
from mubench.verify import checks, problem
from mubench.verify.finding import Finding
from mubench.verify.problem import Problem
from mubench.verify.subject import Subject, things_in

# A task for each kind of target: classes, tokens, pictures; a method that serves none of them is checked
# on the first of the others that it serves.
KINDS = ("digits", "mini/tofu", "mini/tiny_imagenet")
OTHERS = ("mini/imdb", "mini/nlvr2", "mini/speech_commands", "mini/ucf101")


@dataclass(frozen=True)
class Report:
    """What was found of a method on one task."""

    config: RunConfig
    findings: tuple[Finding, ...]
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether no check failed."""
        return all(finding.passed is not False for finding in self.findings)

    def as_json(self) -> dict[str, Any]:
        """For the file that is kept."""
        return {
            "model": self.config.key["model"],
            "passed": self.passed,
            "findings": [asdict(finding) for finding in self.findings],
            "seconds": round(self.seconds, 1),
            "finished": now(),
        }


@dataclass
class Suite:
    """Checks methods one after the other; problems are loaded once."""

    planner: Planner
    typed: Sequence[str]  # overrides, such as task=… and method.alpha=…
    _problems: dict[tuple[str, str, bool], Problem] = field(default_factory=dict)

    def reports(self, name: str) -> Iterator[Report]:
        """One report for each task; NotApplicable where the method serves none."""
        typed = any(word.startswith("task=") for word in self.typed)
        found = False
        for task in [""] if typed else [*KINDS, *OTHERS]:
            if found and task in OTHERS:
                return
            chosen = [f"task={task}"] if task else []
            config = self.planner.cells([f"method={name}", *chosen, *self.typed], multirun=False)[0]
            method: Method = component(config.settings.method, "method")
            if serves(config, method):
                found = True
                yield self._report(config, method)
        if not found:
            raise NotApplicable(f"method '{name}' serves no task that was tried (task=NAME picks another)")

    def _report(self, config: RunConfig, method: Method) -> Report:
        started = time.perf_counter()
        whole = "any" not in method.deletions  # such a deletion forgets classes
        place = (config.key["task"], config.key["model"], whole)
        if place not in self._problems:
            self._problems[place] = problem.of_config(config, whole)
        typed = [word.split("=")[0].removeprefix("method.") for word in self.typed]
        subject = Subject(config.resolved["method"], self._problems[place], typed)
        with subject.problem.engine().running():
            found = tuple(checks.findings(subject))
        return Report(config, found, time.perf_counter() - started)


def serves(config: RunConfig, method: Method) -> bool:
    """Whether a method says that it applies to a config's modality."""
    modality: Modality = component(config.settings.modality, "modality")
    return method.serves(modality)


def files_of(method: Method) -> set[Path]:
    """The source files of a method's class and of those that it is made of, but for the common base."""
    inner = [item for _, item in things_in(method) if isinstance(item, Method)]
    kinds = {kind for item in [method, *inner] for kind in type(item).__mro__}
    mine = [kind for kind in kinds if issubclass(kind, Method) and kind is not Method]
    return {Path(inspect.getfile(kind)).resolve() for kind in mine}
