"""All checks, in the order in which they are told, and what becomes of one that cannot be carried out."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mubench.errors import RunFailed, UsageError
from mubench.verify import conduct, rows, scores, settings, weights
from mubench.verify.finding import Finding, bad
from mubench.verify.subject import Subject

CHECKS: dict[str, Callable[[Subject], Finding]] = {
    "moves": weights.moves,
    "finite": conduct.finite,
    "model": weights.shape,
    "teachers": weights.teachers,
    "fresh teachers": weights.fresh_teachers,
    "mask": weights.mask,
    "adapter": weights.adapter,
    "forget set": conduct.effect("forget"),
    "retain set": conduct.effect("retain"),
    "sets": conduct.sets,
    "every row": rows.every_row,
    "left as found": conduct.left_as_found,
    "settings": settings.settings,
    "options": settings.options,
    "distils": scores.distils,
    "softmax": scores.softmax,
    "examples": scores.additive,
    "label tokens": scores.label_tokens,
    "true label": scores.true_label,
    "wrong labels": rows.wrong_labels,
    "turns": rows.turns,
    "batch size": rows.batch_size,
    "deterministic": conduct.deterministic,
    "memory": conduct.memory,
    "seed": conduct.seed,
    "divergence": conduct.divergence,
    "resume": conduct.resume,
}


def findings(subject: Subject) -> Iterator[Finding]:
    """Every check's finding; only the first if the method cannot be carried out at all."""
    try:
        assert subject.base
    except Exception as error:
        yield Finding("runs", False, _told(error))
        return
    for name, check in CHECKS.items():
        try:
            yield check(subject).named(name)
        except Exception as error:
            yield bad(_told(error)).named(name)


def _told(error: Exception) -> str:
    known = isinstance(error, UsageError | RunFailed)
    return str(error) if known else f"it fails with {type(error).__name__}: {error}"
