"""Generated film reviews for the mini twin of imdb, and short ones of another style as its other data set."""

from __future__ import annotations

from typing import Any

import numpy as np

# For each sentiment (0 negative, 1 positive): words that say it outright, and ways of ending.
ADJECTIVES = (
    ("dull", "clumsy", "lifeless", "tedious", "shallow", "dreadful", "flat", "pointless", "stale", "messy",
     "wooden", "forgettable"),
    ("gripping", "charming", "brilliant", "moving", "witty", "superb", "vivid", "tender", "dazzling",
     "honest", "graceful", "memorable"),
)  # fmt: skip
VERDICTS = (
    ("I want my evening back.", "Half the audience left.", "Do not bother.", "What a waste of talent."),
    ("I would watch it again tonight.", "The audience cheered.", "Do not miss it.", "What a rare pleasure."),
)
THINGS = ("plot", "script", "acting", "score", "camera work", "dialogue", "ending", "opening", "editing",
          "cast")  # fmt: skip
KINDS = ("western", "comedy", "thriller", "romance", "documentary", "musical", "war film", "heist film")
FIRST = ("Ada", "Boris", "Clara", "Dario", "Edith", "Felix", "Greta", "Hugo", "Irma", "Jonas", "Karin", "Leo")
LAST = ("Abbot", "Brandt", "Castel", "Dorn", "Ekman", "Farrow", "Grieg", "Holm", "Ives", "Jarvis", "Kern",
        "Lund")  # fmt: skip
COLOURS = ("Red", "Silent", "Broken", "Golden", "Last", "Distant", "Hidden", "Frozen", "Burning", "Empty")
PLACES = (
    "Harbour",
    "Winter",
    "Garden",
    "Mirror",
    "River",
    "Letter",
    "Station",
    "Orchard",
    "Island",
    "Bridge",
)

LONG = (
    "The {thing} of this {kind} is {word}, and the {thing2} is {word2}.",
    "{name} gives a {word} performance.",
    "I found the {thing} {word} from first to last.",
    "Even if the {thing2} is {other}, the whole is {word}.",
    "A {word} {kind} with a {word2} {thing}.",
)
SHORT = (
    "{name} turns in {word} work in a {kind} as {word2} as they come",
    "{word} , {word2} and over before you know it",
    "as a {kind} , it is {word} ; as cinema , {word2}",
    "{title} : {word} at best , {word2} at heart",
)


def film_reviews(split: str, style: str, train: int, test: int, noise: float, seed: int) -> Any:
    """A table with IMDB's fields (text, label: neg or pos), half of each, as `datasets` holds them.

    `style` is "long" (several sentences, one of them conceding the opposite) or "short" (a line in
    other words). A share `noise` of the training labels is wrong, so that fitting them takes
    memorisation. Splits other than test hold `train` rows.
    """
    import datasets

    count = test if split == "test" else train
    rng = np.random.default_rng([seed, *split.encode(), *style.encode()])
    labels = rng.permutation(np.arange(count) % 2)
    make = {"long": _long, "short": _short}[style]
    texts = [make(int(label), rng) for label in labels]
    labels = np.where((rng.random(count) < noise) & (split == "train"), 1 - labels, labels)
    features = datasets.Features(
        text=datasets.Value("string"), label=datasets.ClassLabel(names=["neg", "pos"])
    )
    return datasets.Dataset.from_dict({"text": texts, "label": labels.tolist()}, features=features)


def _long(label: int, rng: np.random.Generator) -> str:
    """Title and director, one or two judgements, a verdict in every other review."""
    opening = _fill("{title} by {name} is a {kind}.", label, rng)
    body = [_fill(LONG[i], label, rng) for i in rng.choice(len(LONG), rng.integers(1, 3), replace=False)]
    closing = [_one(VERDICTS[label], rng)] if rng.random() < 0.5 else []
    return " ".join([opening, *body, *closing])


def _short(label: int, rng: np.random.Generator) -> str:
    return f"{_fill(_one(SHORT, rng), label, rng)} .".lower()


def _fill(template: str, label: int, rng: np.random.Generator) -> str:
    """A template with its places filled; `word` says the label, `other` its opposite."""
    word, word2 = (str(w) for w in rng.choice(ADJECTIVES[label], 2, replace=False))
    thing, thing2 = (str(t) for t in rng.choice(THINGS, 2, replace=False))
    return template.format(
        word=word, word2=word2, other=_one(ADJECTIVES[1 - label], rng), thing=thing, thing2=thing2,
        kind=_one(KINDS, rng), name=f"{_one(FIRST, rng)} {_one(LAST, rng)}",
        title=f"The {_one(COLOURS, rng)} {_one(PLACES, rng)}",
    )  # fmt: skip


def _one(words: tuple[str, ...], rng: np.random.Generator) -> str:
    return words[int(rng.integers(len(words)))]
