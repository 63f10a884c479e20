"""What a metric may read, and how one is declared.

Nothing here imports torch: a stored run can be scored again on a machine without it.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from mubench.errors import UsageError

Goal = Literal["higher", "lower", "match"]
Scope = Literal["split", "model", "relative", "cell"]
Reads = Literal[
    "losses", "classes", "tokens", "alternatives", "texts", "pictures", "positives", "gradients",
    "penultimate", "weights",
]  # fmt: skip
Splits = Mapping[str, "Outputs"]
# What one attack left of one model: columns of numbers by the name of a series, or why there are none.
Curves = Mapping[str, Mapping[str, Sequence[float | None]] | str]


class Unavailable(Exception):
    """A metric cannot be computed here; the record stores null and this reason."""


@dataclass(frozen=True)
class Outputs:
    """Predictions of one model on one split, a row per example: N examples, C classes, T tokens.

    What a kind of task does not have is None: classes have logits, token models have the probability
    and the guess of each label token. Of M of the examples (`sampled`) there may also be what the
    model made of them: texts beside the true ones, or features of pictures beside the true ones'.
    """

    losses: np.ndarray  # (N,) float32: cross-entropy in nats; for pictures a squared error
    targets: np.ndarray  # (N,) int64 classes, or (N, T) tokens padded with -100
    logits: np.ndarray | None = None  # (N, C) float32
    log_probs: np.ndarray | None = None  # (N, T) float32, of the label tokens; 0 where padded
    guesses: np.ndarray | None = None  # (N, T) int64, the likeliest token at each place
    expected_log_probs: np.ndarray | None = None  # (N, T) mean of a token's log-probability, drawn as it says
    sd_log_probs: np.ndarray | None = None  # (N, T) and its standard deviation; 0 where padded
    compressed: np.ndarray | None = None  # (N,) int32 bytes of the label text, compressed by zlib
    gradient_norms: np.ndarray | None = None  # (N,) float32, of each example's loss by all weights
    alternatives: np.ndarray | None = None  # (N, 1 + K) mean log-probabilities: a paraphrase, K false answers
    negative: np.ndarray | None = None  # (1,) int64: the class that means none of the others
    foreign: np.ndarray | None = None  # (1,) true: these rows are not drawn as the training set's are
    sampled: np.ndarray | None = None  # (M,) int64 rows of which the following tells
    texts: tuple[str, ...] | None = None  # (M,) written by the model
    references: tuple[str, ...] | None = None  # (M,) the true ones
    features: np.ndarray | None = None  # (M, D) of painted pictures
    true_features: np.ndarray | None = None  # (M, D) of the true ones
    class_probs: np.ndarray | None = None  # (M, K) a classifier's, of painted pictures
    similarity: np.ndarray | None = None  # (M,) cosine of prompt and painted picture
    probed: np.ndarray | None = None  # (P,) int64 rows of which the next tells
    penultimate: np.ndarray | None = None  # (P, D) float32, what goes into the layer that makes the scores

    def __len__(self) -> int:
        return len(self.targets)


PER_EXAMPLE = (
    "losses", "targets", "logits", "log_probs", "guesses", "alternatives", "expected_log_probs",
    "sd_log_probs", "compressed", "gradient_norms",
)  # fmt: skip
TEXTS = ("texts", "references")


@dataclass(frozen=True)
class Distances:
    """Squared Euclidean distances between models' weights, each of W weights (tensors) by itself."""

    names: tuple[str, ...]  # (W,) in the network's order
    squared: Mapping[str, np.ndarray]  # (W,) float64 by pair of roles in alphabetical order, "a-b"


@dataclass(frozen=True)
class View:
    """One model's predictions beside the others', as a metric of a model or of a pair sees them.

    `models` maps a role (original, unlearned, retrained, incompetent) to its splits
    (test, forget, retain, validation); a role or split that was not predicted is absent.
    """

    role: str
    models: Mapping[str, Splits]
    ascent: bool = False  # the method ascends on D_f: `overall` then tolerates more
    seed: int = 0  # seed.eval
    others: Mapping[str, Sequence[Splits]] = field(default_factory=dict)  # shadow models, by role
    curves: Mapping[str, Mapping[str, Curves]] = field(default_factory=dict)  # by role and attack
    distances: Distances | None = None  # between the models' weights, where they were at hand

    def outputs(self, split: str, role: str | None = None) -> Outputs:
        """Predictions of `role` (this view's own if None) on `split`; Unavailable if there are none."""
        splits = self.models.get(role or self.role)
        if splits is None:
            raise Unavailable(f"there is no {role or self.role} model")
        if split not in splits or not len(splits[split]):
            raise Unavailable(f"the {role or self.role} model has no predictions on {split}")
        return splits[split]

    def shadows(self, role: str, split: str) -> tuple[Outputs, ...]:
        """Predictions on `split` of models trained as the original or retrained one, at other seeds."""
        found = tuple(splits[split] for splits in self.others.get(role, ()) if split in splits)
        if not found:
            raise Unavailable(f"there are no shadow models ({role}): shadows=8 trains eight of each")
        return found

    def curve(self, attack: str, series: str, role: str | None = None) -> dict[str, np.ndarray]:
        """Columns (P,) float64 by name of what an attack left of a model; NaN where a number is missing."""
        found = self.curves.get(role or self.role, {}).get(attack, {}).get(series)
        if found is None:
            raise Unavailable(f"there is no curve '{series}' of {attack} on the {role or self.role} model")
        if isinstance(found, str):
            raise Unavailable(found)
        return {name: np.array(values, dtype=np.float64) for name, values in found.items()}

    def outside(self, role: str | None = None) -> str:
        """The split of examples like D_f's that were not trained on: test, or where it is foreign validation.

        Unavailable where there is neither: an attack would tell the sources of the data apart.
        """
        if self.outputs("test", role).foreign is None:
            return "test"
        if not len(self.models[role or self.role].get("validation", ())):
            raise Unavailable(
                "the test set is of another kind than the training set, and nothing of that was held out: "
                "task.validation=10 holds a tenth out"
            )
        return "validation"

    def rng(self, name: str) -> np.random.Generator:
        """The generator of one metric's draws: seed.eval and the metric's name decide it."""
        return generator(self.seed, name)


@dataclass(frozen=True)
class Cell:
    """Runs that differ in seeds only, as a metric of their scores' distribution sees them.

    One unlearned and one retrained model for each training seed, in the same order.
    """

    unlearned: Sequence[Splits]
    retrained: Sequence[Splits]
    seed: int = 0  # seed.eval

    def outputs(self, role: Literal["unlearned", "retrained"], split: str) -> tuple[Outputs, ...]:
        """Predictions of each seed's model on `split`; Unavailable if one has none or another number."""
        models = self.unlearned if role == "unlearned" else self.retrained
        found = tuple(splits[split] for splits in models if len(splits.get(split, ())))
        if not found or len(found) < len(models):
            raise Unavailable(f"{len(models) - len(found)} {role} models have no predictions on {split}")
        if len({len(outputs) for outputs in found}) > 1:
            raise Unavailable(f"the {role} models were predicted on {split} sets of different sizes")
        return found

    def rng(self, name: str) -> np.random.Generator:
        """The generator of one metric's draws: seed.eval and the metric's name decide it."""
        return generator(self.seed, name)


def generator(seed: int, name: str) -> np.random.Generator:
    """The generator of a metric's draws, decided by seed.eval and the metric's name."""
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


@dataclass(frozen=True)
class Metric:
    """A metric's function and the facts that `mubench ls metrics` and the record show."""

    name: str
    function: Callable[..., float | dict[str, float]]
    scope: Scope
    goal: Goal | Mapping[str, Goal]
    needs: frozenset[str] = frozenset()
    reads: Reads = "classes"
    source: str = ""
    attack: str = ""

    @property
    def summary(self) -> str:
        """The first line of the function's docstring."""
        return (self.function.__doc__ or "").strip().split("\n")[0]


METRICS: dict[str, Metric] = {}


def metric(
    *,
    goal: Goal | Mapping[str, Goal],
    scope: Scope = "model",
    needs: tuple[str, ...] = (),
    reads: Reads = "classes",
    source: str = "",
    attack: str = "",
) -> Callable[[Callable[..., float | dict[str, float]]], Callable[..., float | dict[str, float]]]:
    """Declare a metric under its function's name.

    scope "split": called with one `Outputs`, for each split, named `<split>_<name>`;
    "model": called with a `View` per model (original, unlearned, retrained);
    "relative": called with the unlearned model's `View`, once;
    "cell": called with a `Cell`, by `mubench score`, over runs that differ in their training seeds.
    A function may return a dict {name: value} where one computation gives several numbers.
    `goal` is higher, lower or match, or a mapping from split (scope "split") or from value name
    (a dict result) to one of these; a value whose name the mapping lacks is information, not a score, as
    is a metric's only value where the mapping is empty.
    `needs` names roles beyond the model itself: original, retrained, incompetent; "shadows" asks for
    models of other training seeds. `reads` says what predictions must hold for it; a task whose modality
    gives no such thing is not asked for it.
    """

    def declare(
        function: Callable[..., float | dict[str, float]],
    ) -> Callable[..., float | dict[str, float]]:
        if function.__name__ in METRICS:
            raise UsageError(f"there is a metric '{function.__name__}' already")
        METRICS[function.__name__] = Metric(
            function.__name__, function, scope, goal, frozenset(needs), reads, source, attack
        )
        return function

    return declare
