"""usage: mubench card RUN [--to FOLDER]

The model card of an unlearned model, as the Hugging Face hub shows it: what was forgotten, by which method,
settings, metrics beside the original and the retrained model, cost, what the numbers do not prove, how to
load it. RUN is the directory of a run with save_model=true. The card is printed; it names no forgotten
example, and no place or user of this machine.

  --to FOLDER       write FOLDER/README.md instead
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mubench.commands import arguments
from mubench.errors import UsageError

REPOSITORY = "USER/NAME"  # in a card that is not pushed


def main(argv: Sequence[str]) -> int:
    """Print or write it."""
    typed = arguments.read(argv, {}, ("--to",))
    if len(typed.words) != 1:
        raise UsageError("card takes one run's directory (mubench ls runs)")
    from mubench.files import write_text
    from mubench.publishing.card import card
    from mubench.publishing.saved import read

    text = card(read(Path(typed.words[0])), REPOSITORY)
    if "to" not in typed.options:
        print(text, end="")
        return 0
    path = Path(typed.options["to"]) / "README.md"
    write_text(path, text)
    print(path)
    return 0
