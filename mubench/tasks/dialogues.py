"""Generated dialogues and their summaries for a mini twin of SAMSum."""

from __future__ import annotations

from typing import Any

import numpy as np

NAMES = ("Amy", "Bob", "Cleo", "Dan", "Eva", "Finn", "Gina", "Hank", "Ida", "Jack")
PLANS = (
    "play tennis", "see a film", "bake bread", "go swimming", "visit grandma", "fix the bike", "cook dinner",
    "paint the fence", "buy a sofa", "walk the dog",
)  # fmt: skip
DAYS = ("Monday", "Tuesday", "Friday", "Sunday")
PLACES = (
    "harbour", "station", "library", "castle", "market", "bridge", "garden", "museum", "bakery", "stadium",
)  # fmt: skip
DIALOGUE = "{first}: Hi {second}, shall we {plan} on {day}?\n{second}: {reply}"
REPLIES = ("Yes, great idea!", "Sure, see you there.", "Okay, I am in.")
SUMMARY = "{first} and {second} will {plan} on {day} near the {place}."


def dialogues(split: str, train: int, validation: int, test: int, seed: int) -> Any:
    """A table with SAMSum's fields (id, dialogue, summary); every dialogue is another.

    A summary also names the place, which the dialogue does not: only memory has it.
    """
    import datasets

    rng = np.random.default_rng([seed, 2])
    order = rng.permutation(len(NAMES) ** 2 * len(PLANS) * len(DAYS))
    whole = [_row(int(number), rng) for number in order]
    rows = [row for row in whole if row is not None]
    start = {"train": 0, "validation": train, "test": train + validation}[split]
    some = rows[start : start + {"train": train, "validation": validation, "test": test}[split]]
    fields: dict[str, list[str]] = {
        "id": [f"{split}-{number}" for number in range(len(some))],
        "dialogue": [dialogue for dialogue, _ in some],
        "summary": [summary for _, summary in some],
    }
    return datasets.Dataset.from_dict(fields)


def _row(number: int, rng: np.random.Generator) -> tuple[str, str] | None:
    """The dialogue of this number and its summary; None where somebody would talk to herself."""
    number, day = divmod(number, len(DAYS))
    number, plan = divmod(number, len(PLANS))
    first, second = divmod(number, len(NAMES))
    words = {"first": NAMES[first], "second": NAMES[second], "plan": PLANS[plan], "day": DAYS[day],
             "reply": str(rng.choice(REPLIES)), "place": str(rng.choice(PLACES))}  # fmt: skip
    return None if first == second else (DIALOGUE.format(**words), SUMMARY.format(**words))
