"""Generated sentences about two masked drugs, in the lines of DDI-2013's files: for its mini twin."""

from __future__ import annotations

import numpy as np

# Sentences per class, and the class's share of the training rows of DDI-2013.
PATTERNS: dict[str, tuple[float, tuple[str, ...]]] = {
    "DDI-false": (0.8596, (
        "@DRUG$ and @DRUG$ were given with {drug} to {people} in the {trial} trial.",
        "No change in the {measure} of @DRUG$ was seen when @DRUG$ was taken with {drug}.",
        "Drugs such as @DRUG$, {drug} and @DRUG$ are used against {illness}.",
        "@DRUG$ may raise the {measure} of {drug}, unlike @DRUG$.",
        "The {effect} of {drug} was compared with that of @DRUG$ and @DRUG$ in {people}.",
    )),
    "DDI-mechanism": (0.046, (
        "@DRUG$ at {dose} mg {moved} the {measure} of @DRUG$ by {percent} % in {people}.",
        "By inhibiting {enzyme}, @DRUG$ slows the metabolism of @DRUG$ and {moved} its {measure}.",
    )),
    "DDI-advise": (0.0287, (
        "@DRUG$ should not be taken together with @DRUG$ by {people}.",
        "Caution is advised: reduce the dose of @DRUG$ to {dose} mg when @DRUG$ is added.",
    )),
    "DDI-effect": (0.0587, (
        "{people} on @DRUG$ who received @DRUG$ suffered {effect}.",
        "@DRUG$ potentiates the {effect} caused by @DRUG$ in {illness}.",
    )),
    "DDI-int": (0.007, (
        "An interaction between @DRUG$ and @DRUG$ is known in {people}.",
        "@DRUG$ interacts with @DRUG$ at {dose} mg.",
    )),
}  # fmt: skip
WORDS: dict[str, tuple[str, ...]] = {
    "drug": ("aspirin", "warfarin", "digoxin", "ketoconazole", "rifampin", "lithium", "heparin", "codeine",
             "quinidine", "phenytoin", "insulin", "cimetidine"),
    "people": ("healthy men", "elderly women", "diabetic patients", "children", "smokers",
               "surgical patients", "volunteers", "pregnant women", "dialysis patients",
               "transplant patients"),
    "illness": ("hypertension", "asthma", "epilepsy", "malaria", "depression", "arthritis", "angina", "gout"),
    "measure": ("clearance", "AUC", "half-life", "plasma level", "absorption", "peak concentration"),
    "effect": ("sedation", "bleeding", "hypotension", "nausea", "bradycardia", "seizures", "drowsiness"),
    "enzyme": ("CYP3A4", "CYP2D6", "CYP2C9", "P-glycoprotein"),
    "moved": ("raised", "lowered", "doubled", "halved"),
    "trial": ("first", "second", "Oslo", "Kyoto", "Boston", "Turin", "Lima", "blinded", "open", "pilot"),
}  # fmt: skip


def drug_sentences(split: str, train: int, validation: int, test: int, noise: float, seed: int) -> list[str]:
    """The lines of one file: id, sentence and label between tabs, classes in DDI-2013's shares.

    A share `noise` of the training labels is another class, drawn by those shares, so that fitting
    them takes memorisation.
    """
    count = {"train": train, "validation": validation, "test": test}[split]
    rng = np.random.default_rng([seed, *split.encode()])
    names = list(PATTERNS)
    shares = np.array([share for share, _ in PATTERNS.values()])
    sizes = np.maximum(np.round(shares * count), 2).astype(int)
    sizes[0] = count - sizes[1:].sum()
    classes = rng.permutation(np.repeat(np.arange(len(names)), sizes))
    texts = [_sentence(names[c], rng) for c in classes]
    if split == "train":
        classes = _disturbed(classes, noise, shares, rng)
    return [f"mini.d{row}.s0.p0\t{text}\t{names[c]}"
            for row, (text, c) in enumerate(zip(texts, classes, strict=True))]  # fmt: skip


def _sentence(name: str, rng: np.random.Generator) -> str:
    """One of the class's sentences, behind the number of a study so that hardly two are alike."""
    patterns = PATTERNS[name][1]
    words = {kind: str(rng.choice(choice)) for kind, choice in WORDS.items()}
    text = patterns[int(rng.integers(len(patterns)))].format(
        **words, dose=int(rng.integers(1, 90)) * 10, percent=int(rng.integers(5, 95))
    )
    return f"Study {rng.integers(100, 1000)} in {words['illness']}: {text[0].upper()}{text[1:]}"


def _disturbed(classes: np.ndarray, noise: float, shares: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Labels of which a share is another class: a shift that keeps away from the true one."""
    wrong = rng.random(len(classes)) < noise
    draw = rng.choice(len(shares), len(classes), p=shares / shares.sum())
    other = np.where(
        draw == classes, (classes + rng.integers(1, len(shares), len(classes))) % len(shares), draw
    )
    return np.where(wrong, other, classes)
