"""What the numbers of a model card do not say, told in it."""

from __future__ import annotations

from collections.abc import Iterator

from mubench.publishing.sources import described
from mubench.records import Record
from mubench.report.reference import doubt


def listed(record: Record) -> str:
    """The caveats as a Markdown list."""
    return "\n".join(f"- {sentence}" for sentence in _sentences(record))


def _sentences(record: Record) -> Iterator[str]:
    seeds = ", ".join(f"{level} {seed}" for level, seed in record.key["seed"].items())
    yield f"They are of one run with one seed each ({seeds}): another seed gives other numbers."
    yield (
        "They are no certificate: a model that scores as the retrained one may still hold what it was to "
        "forget, and nothing here guarantees privacy or satisfies a law."
    )
    yield (
        "Who has this model and the original can compare them, and learn more of the forgotten examples than "
        "from either alone."
    )
    if not record.metrics.get("retrained"):
        yield "There is no retrained model beside it: nothing says what a model without these examples does."
    if (sentence := doubt(record.metrics.get("relative") or {})) is not None:
        yield f"{sentence[0].upper()}{sentence[1:]}."
    if "curves.json" not in record.files:
        yield "Nobody tried to bring the forgotten examples back (relearning, rounding, noise)."
    if missing := _missing(record):
        yield f"Not computed: {'; '.join(missing)}."


def _missing(record: Record) -> list[str]:
    """Metrics of the unlearned model that have no value, by their reason."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in record.reasons.items():
        role, _, metric = name.partition(".")
        if role in ("unlearned", "relative"):
            by_reason.setdefault(reason, []).append(f"`{metric}`")
    return [f"{', '.join(names)} ({reason})" for reason, names in by_reason.items()]


def licence(record: Record) -> str:
    """What is known of the data that the weights were made from."""
    task = record.config.get("task", {})
    told = described("task", record.key["task"]) or f"task `{record.key['task']}`"
    name = task.get("repository")
    where = f" ([{name}](https://huggingface.co/datasets/{name}))" if name else ""
    return (
        f"{told}{where}. mubench does not know the licence of the data: read it at its source before you use "
        "or pass on this model."
    )
