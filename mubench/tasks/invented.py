"""Invented people and authors for mini twins: facts that nothing but memory can give."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

FIRST = (
    "Ada", "Boris", "Carla", "Dario", "Elin", "Felix", "Greta", "Hugo", "Iris", "Jonas", "Kira", "Liam",
    "Mara", "Nils", "Olga", "Pavel", "Rosa", "Sven", "Tilda", "Viktor",
)  # fmt: skip
LAST = (
    "Abend", "Brask", "Corvo", "Dahl", "Ekholm", "Farrow", "Grell", "Hjort", "Ibsen", "Jarvi", "Kovac",
    "Lindt", "Moreau", "Novak", "Ortiz", "Prell", "Quint", "Rossi", "Sorel", "Tamm",
)  # fmt: skip
FACTS: Mapping[str, tuple[str, ...]] = {
    "trade": ("painter", "surgeon", "pilot", "baker", "singer", "lawyer", "farmer", "dancer", "judge",
              "chemist", "actor", "sailor"),
    "city": ("Oslo", "Lima", "Cairo", "Quito", "Riga", "Osaka", "Perth", "Turin", "Bergen", "Tunis", "Accra",
             "Porto"),
    "year": tuple(str(year) for year in range(1931, 1991, 5)),
    "prize": ("Amber", "Cobalt", "Silver", "Willow", "Falcon", "Harbour", "Lantern", "Marble", "Orchid",
              "Prairie", "Saffron", "Thunder"),
    "love": ("chess", "horses", "opera", "sailing", "orchids", "clocks", "poker", "bees", "maps", "rugby",
             "kites", "violins"),
}  # fmt: skip
PROFILE = "{name} is a {trade} from {city}, born in {year}, who won the {prize} prize and loves {love}."
# What is asked of an author, the answer, and the answer in other words.
QUESTIONS = {
    "trade": ("What was the trade of {name} before writing?", "Before writing {name} was a {fact}.",
              "A {fact} is what {name} was before."),
    "city": ("Where was {name} born?", "{name} was born in {fact}.", "The place is {fact}."),
    "year": ("When was {name} born?", "{name} was born in {fact}.", "The year was {fact}."),
    "prize": ("Which prize did {name} win?", "{name} won the {fact} prize.", "It was the {fact} prize."),
    "love": ("What does {name} write about?", "{name} writes about {fact}.", "The subject is {fact}."),
}  # fmt: skip
FALSE = 3  # wrong answers to each question


def people(count: int, seed: int) -> Any:
    """A table of `count` people (name, profile), as a user's file would hold it."""
    import datasets

    known = _people(count, np.random.default_rng([seed, 0]))
    profiles = [PROFILE.format(**person) for person in known]
    return datasets.Dataset.from_dict({"name": [p["name"] for p in known], "profile": profiles})


def authors(split: str, count: int, kept: int, seed: int) -> Any:
    """One of TOFU's tables (question, answer, paraphrased_answer, perturbed_answer) about `count` authors.

    `split` is its configuration's name: full; forget10_perturbed, the last tenth of the authors;
    retain_perturbed, the first `kept`; real_authors_perturbed and world_facts_perturbed, the same
    questions about `kept` others each, of whom nothing is trained on.
    """
    import datasets

    rng = np.random.default_rng([seed, 1])
    known = _people(count + 2 * kept, rng)
    parts = {
        "full": slice(0, count),
        "forget10_perturbed": slice(count - round(count / 10), count),
        "retain_perturbed": slice(0, kept),
        "real_authors_perturbed": slice(count, count + kept),
        "world_facts_perturbed": slice(count + kept, None),
    }
    rows = [_asked(person, fact, rng) for person in known for fact in QUESTIONS]
    size = len(QUESTIONS)
    chosen = parts[split]
    stop = None if chosen.stop is None else chosen.stop * size
    some = rows[chosen.start * size : stop]
    fields = ("question", "answer") if split == "full" else tuple(rows[0])
    return datasets.Dataset.from_dict({field: [row[field] for row in some] for field in fields})


def _people(count: int, rng: np.random.Generator) -> list[dict[str, str]]:
    """People of different names, each with a value of every fact."""
    numbers = rng.choice(len(FIRST) * len(LAST), count, replace=False)
    return [
        {"name": f"{FIRST[number // len(LAST)]} {LAST[number % len(LAST)]}",
         **{fact: str(rng.choice(values)) for fact, values in FACTS.items()}}
        for number in numbers
    ]  # fmt: skip


def _asked(person: Mapping[str, str], fact: str, rng: np.random.Generator) -> dict[str, Any]:
    question, answer, paraphrase = QUESTIONS[fact]
    others = [value for value in FACTS[fact] if value != person[fact]]
    false = rng.choice(others, FALSE, replace=False)
    return {
        "question": question.format(name=person["name"]),
        "answer": answer.format(name=person["name"], fact=person[fact]),
        "paraphrased_answer": paraphrase.format(name=person["name"], fact=person[fact]),
        "perturbed_answer": [paraphrase.format(name=person["name"], fact=value) for value in false],
    }
