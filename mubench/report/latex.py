"""Tables in LaTeX with booktabs: a table environment each, to be pasted into a paper."""

from __future__ import annotations

from collections.abc import Sequence

from mubench.report.closing import number
from mubench.report.layout import Cell, Layout
from mubench.statistics.seeds import LEVEL

ESCAPED = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{",
    "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "↑": r"$\uparrow$", "↓": r"$\downarrow$", "≈": r"$\approx$", "·": r"$\cdot$",
    "±": r"$\pm$", "✓": r"$\checkmark$", "×": r"$\times$", "∞": r"$\infty$",
}  # fmt: skip
SIGNS = {"best": r"\textbf{%s}", "tied": r"\underline{%s}"}


def latex(found: Sequence[Layout], test: str) -> str:
    """All tables; the preamble that they need stands in the first line, as a comment."""
    return "\n".join([r"% in the preamble: \usepackage{booktabs}", *(_table(one, test) for one in found)])


def escaped(text: str) -> str:
    """Text as LaTeX prints it; signs beyond Latin-1 that have no name here become question marks."""
    return "".join(ESCAPED.get(sign, sign if ord(sign) < 256 else "?") for sign in text)


def _table(layout: Layout, test: str) -> str:
    head = [layout.shape.rows, "$n$", *map(escaped, layout.columns)]
    caption = f"{escaped(layout.title)}. {_caption(layout, test)}".strip()
    lines = [
        r"\begin{table}", r"\centering", r"\small", rf"\caption{{{caption}}}",
        rf"\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}", r"\toprule", _line(head), r"\midrule",
        *(_line(_row(layout, row)) for row in layout.rows),
        r"\bottomrule", r"\end{tabular}", r"\end{table}",
    ]  # fmt: skip
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"


def _row(layout: Layout, row: str) -> list[str]:
    n = layout.n(row)
    return [escaped(row), str(n), *(_cell(layout.cells.get((row, column)), n) for column in layout.columns)]


def _cell(cell: Cell | None, n: int) -> str:
    if cell is None:
        return "--"
    shown = SIGNS.get(cell.standing or "", "%s") % _number(cell.mean)
    shown += rf" {{\scriptsize $\pm$ {_number(cell.spread)}}}" if cell.spread is not None else ""
    return shown + (rf" {{\scriptsize ($n={cell.n}$)}}" if cell.n != n else "")


def _number(value: float | None) -> str:
    mantissa, power, exponent = number(value).partition("e")
    minus = rf"$-${mantissa[1:]}" if mantissa.startswith("-") else mantissa
    return rf"{minus}$\times 10^{{{int(exponent)}}}$" if power else minus.replace(",", "{,}")


def _caption(layout: Layout, test: str) -> str:
    """What the signs of this table mean; nothing that it does not show."""
    cells = layout.cells.values()
    told = []
    if any(cell.spread is not None for cell in cells):
        spread = "standard deviation" if layout.shape.sd else rf"half of the {100 * LEVEL:g}\,\% $t$ interval"
        told.append(rf"$\pm$: {spread} over $n$ training seeds.")
    if any(cell.ranked for cell in cells):
        told.append("Bold: best mean.")
    if any(cell.tested for cell in cells):
        name = {"t": "paired $t$ test", "wilcoxon": "Wilcoxon signed-rank test"}[test]
        told.append(f"Underlined: not told apart from it ({name}, Holm).")
    return " ".join(told)
