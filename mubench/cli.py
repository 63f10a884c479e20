"""The command line: a verb, then Hydra overrides or names. Heavy imports stand inside the verbs."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from keyword import iskeyword

from mubench import failing, processes
from mubench.errors import RunFailed, UsageError, did_you_mean, unexpected

VERBS = {
    "run": "one run, or a sweep: mubench run method=salun deletion.ratio=2,6,10 -m",
    "prepare": "train missing original and retrained models only",
    "ls": "tasks, models, methods, metrics, deletions, sweeps or runs: mubench ls methods 'neg*'",
    "show": "one of them in full: mubench show method salun",
    "search": "a method's settings, by the same budget for each: mubench search method=salun trials=16",
    "table": "finished runs as a table: methods as rows, mean and interval over training seeds",
    "plot": "pictures of finished runs: mubench plot ratio | tradeoff | cost | relearn | ranks | heat",
    "report": "finished runs as one HTML page: leaderboard, tables, pictures, every run",
    "export": "a submission of finished runs, for leaderboards: mubench export --name GROUP",
    "import": "take others' submissions: mubench import FILE ...",
    "card": "a model card in the hub's format of a run with save_model=true",
    "push": "upload such a run's model and card: mubench push RUN REPO",
    "connect": "loss and accuracy on the paths between two unlearned models",
    "score": "metrics of finished runs from their predictions: mubench score RUN metrics=[lira,rmia]",
    "sync": "upload finished runs to Weights & Biases",
    "calibrate": "which metrics tell originals from retrained models: mubench calibrate shadows=8",
    "verify": "check that a method does what it must: mubench verify salun",
    "status": "what is done, failed or unfinished below outputs/",
    "env": "versions and device, for a bug report",
}
SHARED = ("run", "prepare")  # verbs that several processes may carry out together
HELP = f"""mubench: the benchmark runner for machine unlearning

usage: mubench VERB [options] [key=value ...]

{chr(10).join(f"  {verb:9} {text}" for verb, text in VERBS.items())}

  mubench run                                  SalUn on scikit-learn's digits, nothing to download
  mubench run method=scrub task=cifar100       another method, another task
  mubench run -m method=salun,scrub deletion.ratio=2,6,10
  mubench run --dry-run sweep=ratios           the plan, without training

Results land in outputs/ (out=PATH moves them). mubench VERB --help says more.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit status: 0, 1 (a run failed), 2 (bad input), 130 (interrupted)."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        with processes.hushed():
            status = _dispatch(words)
        sys.stdout.flush()
        return failing.leave(status, lambda: None)
    except KeyboardInterrupt:
        if processes.main():
            print("mubench: interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of a pipe, such as `head`, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as raised:
        error = failing.agreed(raised)
        error = error if isinstance(error, UsageError | RunFailed) else unexpected(error)
        return failing.leave(2 if isinstance(error, UsageError) else 1, lambda: _complain(error))


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(HELP, end="")
        return 0
    if words[0] == "--version":
        import mubench

        print(f"mubench {mubench.__version__}")
        return 0
    verb, rest = words[0], words[1:]
    if verb not in VERBS:
        raise UsageError(f"unknown command '{verb}'.{did_you_mean(verb, VERBS)} (mubench --help)")
    processes.check(verb, together=verb in SHARED)
    module = import_module(f"mubench.commands.{verb}{'_' * iskeyword(verb)}")
    if {"-h", "--help"} & set(rest):
        print(str(module.__doc__).strip())
        return 0
    status: int = module.main(rest)
    return status


def _complain(error: Exception) -> None:
    if os.environ.get("MUBENCH_DEBUG"):
        import traceback

        traceback.print_exception(error)
    print(f"mubench: {error}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
