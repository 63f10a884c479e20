"""Tables by other axes, names and formats: what stands where, and that other programs can read it."""

from __future__ import annotations

import csv
import io
import shutil
import subprocess

import pytest
from test_table import over_seeds, record, sheets

from mubench.errors import UsageError
from mubench.report.delimited import delimited
from mubench.report.latex import escaped, latex
from mubench.report.layout import Layout, layouts
from mubench.report.markdown import markdown
from mubench.report.notes import Told
from mubench.report.papers import named, ours
from mubench.report.shape import Shape

TASKS = ({"task": "digits", "model": "m"}, {"task": "imdb", "model": "bert", "ratio": 10.0})


def runs_of_two_tasks():
    return [
        one
        for place, key in enumerate(TASKS)
        for method, start in (("salun", 0.8), ("scrub", 0.9), ("hard & fast_50%", 0.85))
        for one in over_seeds(method, [start + place / 100 + seed / 1000 for seed in range(3)], key=key)
    ]


def one_layout(shape: Shape, metrics=("test_accuracy",)) -> Layout:
    (found,) = layouts(sheets(runs_of_two_tasks(), list(metrics)), shape)
    return found


def test_tasks_stand_side_by_side_whatever_their_models_and_ratios():
    found = one_layout(Shape(columns="task"))
    assert found.title == "random · test_accuracy ↑" and found.columns == ["digits", "imdb"]
    assert found.rows == ["original", "retrained", "hard & fast_50%", "salun", "scrub"]
    cell = found.cells["scrub", "imdb"]
    assert (cell.mean, cell.n, cell.standing) == (pytest.approx(0.911), 3, "best")
    assert found.cells["salun", "digits"].standing == "worse" and found.n("salun") == 3


def test_axes_can_be_swapped():
    across, down = one_layout(Shape(columns="task")), one_layout(Shape(rows="task", columns="method"))
    assert {(column, row): cell for (row, column), cell in across.cells.items()} == down.cells


def test_ratios_are_an_axis_in_their_order():
    runs = [one for ratio in (10.0, 2.0) for one in over_seeds("salun", [0.5], key={"ratio": ratio})]
    (found,) = layouts(sheets(runs, ["test_accuracy"]), Shape(columns="ratio"))
    assert (found.title, found.columns) == ("digits · m · random · test_accuracy ↑", ["2 %", "10 %"])


def test_a_setting_on_an_axis_leaves_the_methods_name():
    plain, light = record("salun", {"test_accuracy": 0.5}), record(
        "salun", {"test_accuracy": 0.4}, key={"adapter": "lora"}, config={"adapter": {"name": "lora"}}
    )  # fmt: skip
    light.overrides.append("adapter=lora")
    (found,) = layouts(sheets([plain, light], ["test_accuracy"]), Shape(columns="adapter"))
    assert found.cells["salun", "none"].mean == 0.5 and found.cells["salun", "lora"].mean == 0.4


def test_two_rows_of_runs_never_share_a_place():
    other = record("salun", {"test_accuracy": 0.4}, config={"adapter": {"name": "lora", "rank": 2}},
                   key={"adapter": "lora"})  # fmt: skip
    more = record("salun", {"test_accuracy": 0.4}, config={"adapter": {"name": "lora", "rank": 4}},
                  key={"adapter": "lora"})  # fmt: skip
    other.overrides.append("adapter.rank=2")
    more.overrides.append("adapter.rank=4")
    with pytest.raises(UsageError, match="several rows of runs stand at salun, lora"):
        layouts(sheets([other, more], ["test_accuracy"]), Shape(columns="adapter"))


def test_equal_means_are_all_the_best():
    runs = [*over_seeds("a", [0.5, 0.7, 0.6]), *over_seeds("b", [0.7, 0.5, 0.6]), *over_seeds("c", [0.1] * 3)]
    (sheet,) = sheets(runs, ["test_accuracy"])
    assert [sheet.columns[0].standing(name) for name in "abc"] == ["best", "best", "worse"]


def test_papers_have_percent_and_minutes():
    assert ours(["UA", "RTE", "forget_loss"]) == ["forget_accuracy", "unlearn_seconds", "forget_loss"]
    shown = named("forget_accuracy", "match", papers=True)
    assert shown.heading == "UA (%) ≈" and shown.scale * 0.93 + shown.offset == pytest.approx(7)
    runs = over_seeds("salun", [0.9, 0.8, 0.7], "forget_accuracy", cost={"unlearn_seconds": 90.0})
    found = sheets(runs, ["forget_accuracy", "unlearn_seconds"])
    (layout,) = layouts(found, Shape(papers=True, sd=True))
    cell = layout.cells["salun", "UA (%) ≈"]
    assert (cell.mean, cell.spread) == (pytest.approx(20), pytest.approx(10))
    assert layout.cells["salun", "RTE (min) ↓"].mean == 1.5


def test_markdown_is_this():
    below = Told({"*": "best_of"}, 3, [])
    assert markdown([one_layout(Shape(columns="task", sd=True))], below).splitlines() == [
        "### random · test\\_accuracy ↑",
        "",
        "| method | n | digits | imdb |",
        "| --- | --: | --: | --: |",
        "| original | 3 | 0.900 ± 0.000 | 0.900 ± 0.000 |",
        "| retrained | 3 | 0.500 ± 0.000 | 0.500 ± 0.000 |",
        "| hard & fast\\_50% | 3 | 0.851 ± 0.001 | 0.861 ± 0.001 |",
        "| salun | 3 | 0.801 ± 0.001 | 0.811 ± 0.001 |",
        "| scrub | 3 | **0.901 ± 0.001** | **0.911 ± 0.001** |",
        "",
        "- **bold** best\\_of",
    ]


def test_latex_escapes_what_it_must():
    assert escaped("a_b & 5 % ↑ {x}\\ 日") == r"a\_b \& 5 \% $\uparrow$ \{x\}\textbackslash{} ?"
    text = latex([one_layout(Shape(columns="task"))], "t")
    assert r"hard \& fast\_50\% & 3 & 0.851 {\scriptsize $\pm$ 0.002}" in text
    assert r"\textbf{0.901} {\scriptsize $\pm$ 0.002}" in text and "Underlined: not told apart" in text


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_compiles(tmp_path):
    table = latex(layouts(sheets(runs_of_two_tasks(), None), Shape(papers=True)), "t")
    page = "\n".join(
        [r"\documentclass{article}\usepackage{booktabs}\begin{document}", table, r"\end{document}"]
    )
    (tmp_path / "page.tex").write_text(page)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Missing character" not in done.stdout


def test_csv_is_a_line_for_each_number():
    lines = list(csv.DictReader(io.StringIO(delimited(sheets(runs_of_two_tasks(), None)))))
    found = {(line["task"], line["method"]): line for line in lines if line["metric"] == "test_accuracy"}
    line = found["imdb", "hard & fast_50%"]
    assert float(line["mean"]) == pytest.approx(0.861) and line["n"] == "3" and line["ratio"] == "10.0"
    assert (line["verified"], line["standing"], found["imdb", "scrub"]["standing"]) == (
        "False",
        "worse",
        "best",
    )


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--format", "markdwn"], "--format is one of text, md, latex, csv, json; not 'markdwn'"),
        (["--ranks", "--format=latex"], "--ranks comes as text or json, not as latex"),
        (["rows=methd"], "Did you mean 'method'?"),
        (["rows=metric"], "rows and columns are both metric"),
        (["--names", "paper"], "Did you mean 'papers'?"),
    ],
)
def test_bad_words_are_told(first, cli, words, told):
    done = cli("table", *words, f"out={first.folder}")
    assert done.status == 2 and told in done.err, done.err


def test_the_command_writes_every_format(first, cli):
    out = f"out={first.folder}"
    assert cli("table", "--format=md", out).out.startswith("### digits · resnet-small · random 5 %\n")
    assert r"\toprule" in cli("table", "--format=latex", "--names=papers", out).out
    assert cli("table", "--format=csv", out).out.startswith("task,model,deletion,ratio,method")
    assert "neggrad" in cli("table", "rows=metric", "columns=method", out).out
