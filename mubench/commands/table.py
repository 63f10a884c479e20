"""usage: mubench table [key=value ...] [metrics=[NAME,...]] [--json] [out=PATH]

Finished runs as a table: methods as rows, mean and spread over seeds. One table for each task,
model and deletion. ✓ marks methods whose code and settings passed `mubench verify`.

  task=digits method=salun ratio=5   only these
  metrics=[test_accuracy,mia_auc]    other columns (names as in the records)
  --json                             the same numbers as JSON
"""

from __future__ import annotations

from collections.abc import Sequence

from mubench.commands import arguments
from mubench.errors import UsageError, did_you_mean

KEYS = ("task", "modality", "model", "method", "deletion", "ratio", "adapter", "curriculum", "optimizer")


def main(argv: Sequence[str]) -> int:
    """Group, average, print."""
    typed = arguments.read(argv, {"--json": "json"})
    out, words = arguments.out_of(typed.words)
    wanted, metrics = _read(words)
    from mubench.records import Record, query
    from mubench.report.table import print_json, print_tables
    from mubench.verified import proven

    records = [found for _, found in query(out) if isinstance(found, Record) and found.complete]
    chosen = [r for r in records if all(str(r.key[k]) in v.split(",") for k, v in wanted.items())]
    if not chosen:
        raise UsageError(f"no finished run in {out} matches ({len(records)} are there)")
    (print_json if "json" in typed.flags else print_tables)(chosen, metrics, proven(out))
    return 0


def _read(words: Sequence[str]) -> tuple[dict[str, str], list[str] | None]:
    wanted: dict[str, str] = {}
    metrics = None
    for word in words:
        name, equals, value = word.partition("=")
        if name == "metrics" and equals:
            metrics = value.strip("[]").split(",")
        elif not equals or name not in KEYS:
            raise UsageError(f"table has no filter '{name}'.{did_you_mean(name, KEYS)}")
        else:
            wanted[name] = str(float(value)) if name == "ratio" and _numeric(value) else value
    return wanted, metrics


def _numeric(text: str) -> bool:
    return text.replace(".", "", 1).isdigit()
