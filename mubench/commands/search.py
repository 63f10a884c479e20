"""usage: mubench search [method=NAME] [task=NAME ...] [trials=N | minutes=M] [key=value ...] [-m]

Search a method's settings for one kind of task, by the same budget for each method: on forget sets that no
report uses (seed.forget=1042), each trial judged by how far its models are from retrained ones on the forget
set and on validation. Prints the best trials and leaves a recipe that `mubench run` takes. The same command
goes on after an interruption; several at once share the trials; a finished search prints its result.

  trials=N             trials for each method (default: 8)
  minutes=M            instead: trials until their unlearning and evaluation took M minutes for each method
  -m, --multirun       lists: of methods, a search for each; of tasks and seeds, the runs of every trial
  'task=NAME seed.forget=1042,1043'   a task with settings of its own; several task= words are one search
                       for each kind of task
  search.NAME=[...]    try these values of a setting, or a range '{low: 0.01, high: 1.0, log: true}', and
                       not those of the method's yaml; unlearning.lr in shares of training.lr
  key=value            any other setting of `run`; what is typed is not searched
  out=PATH             another folder than outputs/: the searches lie in searches/ below it
  into=PATH            write the recipe to recipe/METHOD/MODALITY.yaml below PATH (default: searches/)
  --dry-run            print what would be tried and how much of it is done; train nothing
  --config-dir DIR     a folder with your own method/, task/, model/ yamls, importable too
"""

from __future__ import annotations

import math
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mubench.commands import arguments
from mubench.errors import NotApplicable, RunFailed, UsageError
from mubench.extras import need
from mubench.files import check_outputs

if TYPE_CHECKING:  # imports torch: not for --help
    from mubench.search.searching import Budget, Search

FLAGS = {"-m": "multirun", "--multirun": "multirun", "--dry-run": "dry-run"}
USUAL, SHOWN = 8, 10  # trials, and how many of them are shown
OWN = ("trials", "minutes", "into", "out")


@dataclass(frozen=True)
class Command:
    """What was typed, planned and checked."""

    searches: list[Search]
    refused: dict[str, NotApplicable]
    into: Path
    argv: list[str]
    dry: bool

    def typed(self, method: str) -> str:
        """The command that searches one of the methods."""
        words = [word for word in self.argv if not word.startswith("method=") and word != "--dry-run"]
        return shlex.join(["mubench", "search", f"method={method}", *words])


def main(argv: Sequence[str]) -> int:
    """Check everything, then search; 1 if a trial could not be carried out or every one failed."""
    command = planned(argv)
    if command.dry:
        for search in command.searches:
            _print_plan(search)
        return 0
    from mubench.search.asked import check_apart

    new = [search for search in command.searches if not search.begun]
    if new:
        check_apart([search.objective for search in new], new[0].reporter)
    for search in command.searches:
        search.reporter.say(_headline(search))
    later = [search for search in command.searches if not _done(search, command, wait=False)]
    for search in later:
        _done(search, command, wait=True)
    return _conclude(command)


def planned(argv: Sequence[str]) -> Command:
    """The searches that a command line asks for; UsageError for whatever is wrong with it."""
    typed = arguments.read(argv, FLAGS)
    own = dict(word.split("=", 1) for word in typed.words if word.partition("=")[0] in OWN)
    words = [word for word in typed.words if word.partition("=")[0] not in OWN]
    need("mubench search", "optuna", extra="search")
    from mubench.plan import Planner
    from mubench.progress import Reporter
    from mubench.search.asked import asked
    from mubench.search.searching import Search

    budget, out = _budget(own), Path(own.get("out", "outputs")) / "searches"
    into = Path(own.get("into", out))
    for folder in (out, into):
        check_outputs(folder)
    found, refused = asked(Planner(typed.dirs), words, "multirun" in typed.flags, str(out))
    if not found:
        raise next(iter(refused.values()))
    searches = [
        Search(a.method, a.modality, a.objective, a.space, budget, out, a.own, a.forgets, Reporter())
        for a in found
    ]
    return Command(searches, refused, into, list(argv), "dry-run" in typed.flags)


def _budget(own: dict[str, str]) -> Budget:
    """From `trials=` or `minutes=`."""
    from mubench.search.searching import Budget

    if "trials" in own and "minutes" in own:
        raise UsageError("a budget is trials=N or minutes=M, not both")
    if "minutes" in own:
        return Budget(minutes=_number("minutes", own["minutes"]))
    trials = _number("trials", own.get("trials", str(USUAL)))
    if trials != int(trials):
        raise UsageError(f"trials={own['trials']}: a whole number of trials, at least 1")
    return Budget(trials=int(trials))


def _number(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < 1e9 or (name == "trials" and value < 1):
        raise UsageError(f"{name}={text}: a number {'of at least 1' if name == 'trials' else 'above 0'}")
    return value


def _headline(search: Search) -> str:
    """How much there is to do."""
    from mubench.report.plan import shared_models

    cells = search.objective.cells
    done = sum(trial.finished for trial in search.trials()) if search.begun else 0
    counts = [f"{len(cells)} run", f"{len(shared_models(cells))} shared model"]
    runs, models = (text + "s" * (not text.startswith("1 ")) for text in counts)
    return f"{search.title}: {search.budget}, {done} done, {runs} each, {models} to train"


def _print_plan(search: Search) -> None:
    """What is tried, and how much of it is done."""
    from mubench.search.space import Range, ordered

    print(_headline(search))
    for name in ordered(list(search.space)):
        values = search.space[name]
        whole = "whole numbers " if isinstance(values, Range) and values.whole else ""
        shown = (
            f"{whole}{values.low:g} to {values.high:g}{', logarithmic' if values.log else ''}"
            if isinstance(values, Range)
            else ", ".join(map(str, values.values))
        )
        print(f"  {name} {search.own[name]}: {shown}")


def _done(search: Search, command: Command, wait: bool) -> bool:
    """Work on a search; False where others still do. The result of a finished one is printed and written."""
    from mubench.search import recipe
    from mubench.search.searching import ranked

    try:
        if not search.work(wait):
            return False
    except NotApplicable as reason:
        if len(command.searches) == 1:
            raise
        command.refused[search.title] = reason
        return True
    trials = ranked(search.trials())
    _print_trials(search)
    if trials[0].state == "complete":
        path = recipe.write(search, trials[0], command.typed(search.method), command.into)
        print(f"{path}\n  (mubench run --config-dir {shlex.quote(str(command.into))} takes it)", flush=True)
    return True


def _print_trials(search: Search) -> None:
    from mubench.report.search import Line, print_trials
    from mubench.search.searching import ranked
    from mubench.search.space import ordered

    lines = []
    for trial in ranked(search.trials()):
        note = "as it is" if not trial.settings else "gentler" if trial.after is not None else ""
        reason = search.failures.get(trial.number) or trial.facts.get("reason") or note
        lines.append(Line(trial.number, trial.state, trial.score, search.whole(trial), reason))
    title = f"{search.title}: {search.budget}"
    print_trials(title, ordered(list(search.space)), lines[:SHOWN], len(lines[SHOWN:]))


def _conclude(command: Command) -> int:
    """The legend, what did not apply and what failed; the exit status."""
    from mubench.report.search import LEGEND
    from mubench.search.study import best_of

    print(LEGEND)
    for name, reason in command.refused.items():
        print(f"n/a  {name}: {reason}", file=sys.stderr)
    told = []
    for search in command.searches:
        if search.title in command.refused:
            continue
        if search.failures:
            told.append(
                f"{search.title}: {len(search.failures)} trials failed; the same command tries them again"
            )
        elif math.isinf(best_of(search.trials())):
            told.append(f"{search.title}: every trial failed")
    if told:
        raise RunFailed("; ".join(told))
    return 0
