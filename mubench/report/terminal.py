"""What a terminal is shown: whole, however narrow it is."""

from __future__ import annotations

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table


def print_whole(content: Table | str) -> None:
    """Print without cutting or folding, however narrow the terminal or absent."""
    _console_for(content).print(content)


def captured(content: Table | str) -> str:
    """What `print_whole` prints, in colour where the terminal has it."""
    console = _console_for(content)
    with console.capture() as taken:
        console.print(content)
    return taken.get()


def kind() -> str:
    """What decides how `captured` shows a table."""
    console = Console()
    return f"{console.is_terminal} {console.color_system} {console.no_color} {console.encoding}"


def _console_for(content: Table | str) -> Console:
    console = Console(highlight=False)
    needed = Measurement.get(console, console.options.update(max_width=10_000), content).maximum
    console.width = max(console.width, needed)
    return console
