"""usage: mubench connect RUN RUN [--points N] [--epochs N] [--rows retain|train] [--seed N] [out=PATH]

Loss and accuracy on the paths between two unlearned models (mode connectivity; Garipov et al., 2018):
the straight line, a Bezier curve and a polygonal chain, the middles of which are trained by the task's
recipe. RUN is the directory of a run with save_model=true; both must share task, model and forget set.
Leaves connection.json and connection.png below connections/ of the outputs folder.

  --points N        points looked at on each path (default: 11)
  --epochs N        of the training of each middle (default: 5)
  --rows NAME       retain: middles are trained on the retain set (default); train: on all training rows
  --seed N          of that training (default: 42)
  --bibtex          the paper's BibTeX entry alone
  out=PATH          the outputs folder with data and original model (default: where the first run lies)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mubench import citations
from mubench.commands import arguments
from mubench.connect import SOURCE
from mubench.errors import UsageError
from mubench.extras import need
from mubench.files import check_outputs, write_json
from mubench.schema import one_of, within

if TYPE_CHECKING:
    from mubench.connect.pair import Pair

NUMBERS = {"points": (11, 2, 10_001), "epochs": (5, 0, 1e6), "seed": (42, 0, 2**31)}  # default, least, most


def main(argv: Sequence[str]) -> int:
    """Walk the paths, print the barriers, leave the numbers and their picture."""
    typed = arguments.read(argv, {"--bibtex": "bibtex"}, ("--rows", *(f"--{name}" for name in NUMBERS)))
    if "bibtex" in typed.flags:
        print(citations.bibtex(SOURCE))
        return 0
    place, words = arguments.out_of(typed.words)
    if len(words) != 2:
        raise UsageError("connect takes two runs' directories (mubench ls runs)")
    settings = _settings(typed.options)
    need("mubench connect", "matplotlib", extra="plot")
    out = place if len(words) < len(typed.words) else None
    if out is not None:
        check_outputs(out)
    _walk((Path(words[0]), Path(words[1])), out, settings)
    return 0


def _settings(options: dict[str, str]) -> dict[str, Any]:
    """The plan's settings, typed."""
    rows = options.get("rows", "retain")
    one_of("--rows", rows, ("retain", "train"))
    found: dict[str, Any] = {"rows": rows}
    for name, (default, least, most) in NUMBERS.items():
        text = options.get(name, str(default))
        if not text.removeprefix("-").isdigit():
            raise UsageError(f"--{name} is a whole number, such as {default}; not '{text}'")
        within(f"--{name}", int(text), least, most)
        found[name] = int(text)
    return found


def _walk(folders: tuple[Path, Path], out: Path | None, settings: dict[str, Any]) -> None:
    from mubench.connect.pair import load
    from mubench.connect.walk import Plan, connect
    from mubench.progress import Reporter
    from mubench.report.connection import draw, print_barriers

    pair, plan = load(folders, out, Reporter()), Plan(**settings)
    with pair.bench.engine.running():
        found = {**_facts(pair), "settings": asdict(plan), **connect(pair, plan)}
    folder = _folder(pair)
    write_json(folder / "connection.json", found)
    draw(found, folder / "connection.png")
    print_barriers(found)
    print(folder)


def _facts(pair: Pair) -> dict[str, Any]:
    """What was connected, and by what."""
    from mubench.environment import versions

    runs = [
        {"folder": str(folder), "fingerprint": record.fingerprint, "method": record.key["method"],
         "seed": record.key["seed"]}
        for folder, record in zip(pair.folders, pair.records, strict=True)
    ]  # fmt: skip
    key = pair.records[0].key
    return {
        "schema": 1, "runs": runs, "task": key["task"], "model": key["model"],
        "forget_set": pair.records[0].forget_set["sha256"],
        "environment": {**versions(), **pair.bench.engine.describe()},
    }  # fmt: skip


def _folder(pair: Pair) -> Path:
    names = [f"{record.key['method']}-{record.fingerprint[:8]}" for record in pair.records]
    key = pair.records[0].key
    return pair.bench.config.out.joinpath("connections", key["task"], key["model"], "--".join(names))
