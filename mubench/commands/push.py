"""usage: mubench push RUN REPO [--private] [--dry-run]

Upload an unlearned model to the Hugging Face hub: its weights (safetensors, or an adapter's files), its card
(mubench card), its settings and its record; no prediction, no forgotten example, no original model. RUN is
the directory of a run with save_model=true, REPO is USER/NAME, made if it is not there. It needs a token
(`hf auth login`, or HF_TOKEN).

  --private         make the repository private
  --dry-run         say what would be sent, and send nothing
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mubench.commands import arguments
from mubench.errors import UsageError

if TYPE_CHECKING:
    from mubench.publishing.upload import Files


def main(argv: Sequence[str]) -> int:
    """Check the run and the name, then list or send; print the address."""
    typed = arguments.read(argv, {"--private": "private", "--dry-run": "dry-run"})
    if len(typed.words) != 2:
        raise UsageError("push takes a run's directory and a repository: mubench push RUN USER/NAME")
    folder, repository = typed.words
    from mubench.publishing import upload
    from mubench.publishing.card import card, title
    from mubench.publishing.saved import read

    upload.check(repository)
    saved = read(Path(folder))
    readme = card(saved, repository).encode()
    files: Files = {"README.md": readme, **saved.described(), **saved.weights}
    private = "private" in typed.flags
    if "dry-run" in typed.flags:
        _print_plan(repository, files, private)
        return 0
    print(upload.push(repository, files, private, f"Add {title(saved.record)}"))
    return 0


def _print_plan(repository: str, files: Files, private: bool) -> None:
    print(f"would send to {repository} ({'private' if private else 'public'}):")
    for name, content in files.items():
        size = content.stat().st_size if isinstance(content, Path) else len(content)
        print(f"  {name:28} {size:>14,} bytes")
