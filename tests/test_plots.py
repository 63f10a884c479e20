"""Pictures: they show what the records say, every kind comes out of the command, the same each time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from test_table import over_seeds, sheets

from mubench.errors import UsageError
from mubench.files import write_json
from mubench.report.plots import attacked, heat, lines, points, ranking
from mubench.report.plots.style import REFERENCES, looks, slug

pytest.importorskip("matplotlib")
METHODS = {"salun": 0.8, "scrub": 0.9, "finetune": 0.85}


def runs(task="digits", ratios=(5.0,), names=("test_accuracy", "forget_accuracy"), shift=0.0):
    """Three seeds of three methods; metrics grow a little by seed and ratio."""
    found = []
    for ratio in ratios:
        for method, start in METHODS.items():
            numbers = [start + shift + ratio / 100 + seed / 100 for seed in range(3)]
            found += over_seeds(method, numbers, names[0], key={"task": task, "ratio": ratio})
    for one in found:
        for group in ("unlearned", "original", "retrained"):
            value = one.metrics[group][names[0]]
            one.metrics[group] = dict.fromkeys(names, value)
        one.metrics["relative"] = {"avg_gap": one.metrics["unlearned"][names[0]] / 10}
    return found


def test_every_name_has_a_look_of_its_own():
    found = looks([*REFERENCES, *(f"m{place}" for place in range(40))])
    assert len({(look.color, look.marker) for look in found.values()}) == 42  # retrain is retrained


def test_ratios_are_lines_with_the_intervals_as_bands():
    ((name, drawn),) = lines.ratios(
        sheets(runs(ratios=(2.0, 6.0, 10.0)), ["test_accuracy"]), "column"
    ).items()
    (axes,) = drawn.axes
    scrub = next(line for line in axes.lines if line.get_ydata()[0] == pytest.approx(0.93))
    assert name == "digits-m-random" and list(scrub.get_xdata()) == [2.0, 6.0, 10.0]
    assert list(scrub.get_ydata()) == pytest.approx([0.93, 0.97, 1.01])
    half = 4.302653 * 0.01 / 3**0.5  # the t interval of three seeds a hundredth apart
    tops = [path.vertices[:, 1].max() for band in axes.collections for path in band.get_paths()]
    assert max(tops) == pytest.approx(1.01 + half, rel=1e-5)
    with pytest.raises(UsageError, match="at two deletion ratios or more"):
        lines.ratios(sheets(runs(), ["test_accuracy"]), "column")


def test_the_tradeoff_marks_the_ideal():
    (drawn,) = points.tradeoff(sheets(runs(), None, usual=points.wanted("tradeoff")), "column").values()
    (axes,) = drawn.axes
    crossing = [(line.get_xdata(), line.get_ydata()) for line in axes.lines if line.get_linestyle() != "None"]
    assert ([0.5, 0.5], [0, 1]) in [(list(x), list(y)) for x, y in crossing]  # the retrained model has .5
    assert [text.get_text() for text in drawn.legends[0].texts] == ["original", "retrained", *sorted(METHODS)]


def test_time_is_logarithmic_and_the_original_took_none():
    (drawn,) = points.cost(sheets(runs(), None, usual=points.wanted("cost")), "page").values()
    assert drawn.axes[0].get_xscale() == "log"
    assert "original" not in [text.get_text() for text in drawn.legends[0].texts]
    with pytest.raises(UsageError, match="no run has"):
        points.tradeoff(sheets(runs(names=("mia_auc",)), ["mia_auc"]), "column")


def test_ranks_name_every_method_and_join_what_is_not_told_apart():
    both = [*runs(), *runs("imdb")]
    (drawn,) = ranking.ranks(sheets(both, ["test_accuracy"]), "column").values()
    texts = [text.get_text().strip() for text in drawn.axes[0].texts]
    assert {"scrub 1.00", "finetune 2.00", "3.00 salun"} <= set(texts)
    assert (
        sum(line.get_linewidth() == 2.5 for line in drawn.axes[0].lines) == 1
    )  # two tables tell nothing apart


def test_heat_is_darkest_where_a_method_is_best():
    (drawn,) = heat.heat(sheets([*runs(), *runs("imdb", shift=0.01)], ["test_accuracy"]), "column").values()
    shades = drawn.axes[0].images[0].get_array()
    names = [label.get_text() for label in drawn.axes[0].get_yticklabels()]
    assert names == ["original", "retrained", *sorted(METHODS)]
    assert shades[names.index("scrub")].tolist() == [1, 1] and shades[names.index("salun")].tolist() == [0, 0]
    assert shades.mask[0].all()  # a reference competes with nobody


def test_each_heat_map_has_the_shades_of_its_own_ratio():
    """The order of methods at 10 % is the other way round."""
    other = runs(ratios=(10.0,))
    for one in other:
        value = one.metrics["unlearned"]
        one.metrics["unlearned"] = {name: 1 - number for name, number in value.items()}
    maps = heat.heat(sheets([*runs(ratios=(2.0,)), *other], ["test_accuracy"]), "column")
    shades = [drawn.axes[0].images[0].get_array()[2:, 0].tolist() for drawn in maps.values()]
    assert shades == [[0.5, 0, 1], [0.5, 1, 0]]


def curve(values):
    return {"steps": [0.0, 1.0, 4.0], "forget_accuracy": values}


def written(out: Path, several) -> list[tuple[Path, object]]:
    found = []
    for place, one in enumerate(several):
        folder = (
            out
            / "runs"
            / one.key["task"]
            / "m"
            / one.key["method"]
            / f"random-{one.key['ratio']:g}"
            / str(place)
        )
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text("{}\n")
        one.finished = "then"
        one.write(folder)
        found.append((folder, one))
    return found


def attack(folder: Path, start: float) -> None:
    roles = {"unlearned": curve([start, 0.8, 1.0]), "retrained": curve([0.5, 0.5, None])}
    curves = {role: {"relearn": {"forget": one, "test": "too few examples"}} for role, one in roles.items()}
    write_json(folder / "curves.json", {"schema": 1, "curves": curves})


def test_relearning_is_the_mean_of_the_runs_curves(tmp_path):
    found = written(tmp_path, runs()[:2])
    for (folder, _), start in zip(found, (0.2, 0.4), strict=True):
        attack(folder, start)
    ((name, drawn),) = attacked.relearning(found, "column").items()
    drawn_lines = {tuple(line.get_ydata()): line for line in drawn.axes[0].lines}
    assert name == "digits-m-random-5"
    assert any(ys[0] == pytest.approx(0.3) and ys[1:] == pytest.approx((0.8, 1.0)) for ys in drawn_lines)
    with pytest.raises(UsageError, match="evaluation=robust"):
        attacked.relearning(written(tmp_path / "others", runs()[:1]), "column")


@pytest.mark.parametrize("kind", ["ratio", "tradeoff", "cost", "ranks", "heat", "relearn"])
def test_every_kind_comes_out_of_the_command(kind, tmp_path, cli):
    found = written(tmp_path, [*runs(ratios=(2.0, 4.0)), *runs("imdb", ratios=(2.0, 4.0))])
    attack(found[0][0], 0.2)
    metrics = ["metrics=[test_accuracy]"] if kind in ("ratio", "ranks", "heat") else []
    filters = ["ratio=2"] if kind in ("ranks", "heat") else []
    words = ("plot", kind, *metrics, *filters, "--format=svg,pdf", f"out={tmp_path}")
    done = cli(*words)
    assert done.status == 0, done.err
    paths = [Path(line) for line in done.out.split()]
    assert paths and all(path.parent == tmp_path / "reports" / "plots" for path in paths)
    before = {path: path.read_bytes() for path in paths}
    assert {path.suffix for path in paths} == {".svg", ".pdf"} and all(before.values())
    assert b"<text" in next(content for path, content in before.items() if path.suffix == ".svg")
    cli(*words)
    assert {path: path.read_bytes() for path in paths} == before


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "plot takes a kind first: ratio, tradeoff"),
        (["ratios"], "Did you mean 'ratio'?"),
        (["ratio", "--width=wide"], "--width is one of column, page"),
        (["ratio", "--format=jpg"], "--format is one of png, svg, pdf"),
        (["cost", "metrics=[tow]"], "there is no filter 'metrics'"),
        (["ratio", "metod=salun"], "Did you mean 'method'?"),
    ],
)
def test_bad_words_are_told(words, told, tmp_path, cli):
    done = cli("plot", *words, f"out={tmp_path}")
    assert done.status == 2 and told in done.err, done.err


def test_a_name_becomes_part_of_a_file():
    assert slug("mini/imdb · bert · random 5 %") == "mini-imdb-bert-random-5"
    assert json.loads(json.dumps(slug("gap ↓"))) == "gap"
