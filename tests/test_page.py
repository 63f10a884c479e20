"""`mubench report`: one file that says what records say, whatever text they hold, and works in a browser."""

from __future__ import annotations

import base64
import gzip
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from test_plots import runs, written
from test_table import over_seeds, record

import mubench
from mubench.report.page.comparing import fair
from mubench.report.page.content import content
from mubench.report.page.leaderboard import lacking, leaderboard
from mubench.report.page.remarks import Footnotes
from mubench.report.page.render import embedded, render
from mubench.report.rows import Row, nobody

EVIL = "</script><script>document.title='owned'</script><img src=x onerror=alert(1)>"
STYLE = (Path(mubench.__file__).parent / "report" / "page" / "style.css").read_text(encoding="utf-8")


def shown(found, out: Path, pictures=()) -> dict:
    """What the page of these runs shows."""
    sheets, refused = fair([one for _, one in found])
    return content(found, sheets, refused, nobody, out, {None: list(pictures)})


def page_of(out: Path, records) -> str:
    return render(shown(written(out, records), out, [("<b>picture</b>", b"<svg/>")]))


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))


def test_win_rates_by_hand():
    """Three methods, two tables: scrub beats both others twice; an equal pair counts half each."""
    same = [*runs(), *runs("imdb")]
    sheets, _ = fair(same)
    found = leaderboard(sheets)
    wins = {entry.method: entry.wins["test_accuracy"] for entry in found.entries}
    assert wins == {"scrub": 1.0, "finetune": 0.5, "salun": 0.0} and not found.left_out
    assert {(entry.tables, entry.runs, entry.seeds) for entry in found.entries} == {(2, 6, 3)}
    tied = leaderboard(fair([*over_seeds("a", [0.5, 0.7]), *over_seeds("b", [0.7, 0.5])])[0])
    assert {entry.method: entry.wins["test_accuracy"] for entry in tied.entries} == {"a": 0.5, "b": 0.5}


LACKS = {
    "forget_set": ({}, "it has no hash of the forget set"),
    "metrics": ({"unlearned": {"a": 1.0}, "retrained": None}, "it has no retrained model beside it"),
    "models": ({"retrained": "1" * 64}, "it does not say which original model it started from"),
    "cost": ({"unlearn_seconds": 2.0}, "it has no cost.retrain_seconds"),
}


@pytest.mark.parametrize("what", LACKS)
def test_a_row_needs_on_the_leaderboard_what_a_submission_needs(what):
    value, reason = LACKS[what]
    one = record("salun", {"test_accuracy": 0.5}, **{what: value})
    assert (lacking(Row((one,))) or "").startswith(reason)
    assert lacking(Row((record("salun", {"test_accuracy": 0.5}),))) is None


def test_a_table_of_unlike_runs_costs_only_itself():
    other = record("salun", {"test_accuracy": 0.5}, key={"task": "imdb"}, config={"training": {"epochs": 2}})
    more = record("scrub", {"test_accuracy": 0.6}, key={"task": "imdb"})
    sheets, refused = fair([*runs(), other, more])
    assert [sheet.place.task for sheet in sheets] == ["digits"] and "imdb" in refused[0]


def test_the_page_asks_the_network_for_nothing_and_runs_only_its_own_script(tmp_path):
    text = page_of(tmp_path, runs())
    assert (
        not re.findall(r"""(?:src|href)=["'](?!data:|#)""", text)
        and "url(" not in text
        and "@import" not in text
    )
    tags = Tags(text).tags
    policy = next(a["content"] for tag, a in tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'") and re.search(r"script-src 'sha256-[\w+/=]{44}'", policy)
    assert [attributes.get("type") for tag, attributes in tags if tag == "script"] == [
        "application/octet-stream",
        None,
    ]
    assert not [name for _, attributes in tags for name in attributes if name.startswith("on")]


def test_hostile_text_stays_text(tmp_path):
    one = record("salun", {"test_accuracy": 0.5}, config={"evil": {"name": EVIL}}, overrides=[EVIL])
    one.key["method"], one.reasons = EVIL.replace("/", ""), {"unlearned.x": EVIL}
    folder = tmp_path / "runs" / "a"
    folder.mkdir(parents=True)
    text = render(shown([(folder, one)], tmp_path, [(EVIL, b"<svg/>")]))
    tags = Tags(text).tags
    assert sum(tag == "script" for tag, _ in tags) == 2
    assert all("onerror" not in attributes for _, attributes in tags)
    data = re.search(r'<script type="application/octet-stream" id="data">(.*?)</script>', text, re.S)
    assert data and {"name": EVIL} in unpacked(data[1])["runs"]["pool"]


def unpacked(text: str):
    return json.loads(gzip.decompress(base64.b64decode(text)))


def test_data_cannot_close_its_element():
    text = embedded({"a": EVIL, "b": "<!--"})
    assert "<" not in text and unpacked(text) == {"a": EVIL, "b": "<!--"}
    assert text == embedded({"a": EVIL, "b": "<!--"})


def test_details_hold_all_of_a_record_once(tmp_path):
    found = written(tmp_path, runs())
    listed = shown(found, tmp_path)["runs"]
    first, row = found[0][1], listed["rows"][0]
    assert {name: listed["pool"][place] for name, place in row["config"].items()} == first.config
    assert listed["pool"][row["forget_set"]] == first.forget_set
    named = dict(zip(listed["names"], row["metrics"]["unlearned"], strict=True))
    assert named["test_accuracy"] == pytest.approx(first.metrics["unlearned"]["test_accuracy"])
    assert len(listed["pool"]) < 4 * len(found)  # what runs share is there once


def test_the_command_leaves_the_page(tmp_path, cli):
    pytest.importorskip("matplotlib")
    written(tmp_path, [*runs(ratios=(2.0, 4.0)), *runs("imdb", ratios=(2.0, 4.0))])
    done = cli("report", f"out={tmp_path}")
    assert done.status == 0, done.err
    text = Path(done.out.strip()).read_text()
    assert text.count('<img src="data:image/svg+xml') > 3 and "digits · m · random 2 %" in text
    captions = re.findall("<figcaption>(.*?)</figcaption>", text)
    assert not [caption for caption in captions if "_" in caption or "-random" in caption]
    assert "Against the deletion ratio: digits · m · random" in captions
    plain = cli("report", "--plain", "task=imdb", f"out={tmp_path}")
    text = Path(plain.out.strip()).read_text()
    assert "<img" not in text and "digits · m" not in text and "imdb · m" in text
    assert cli("report", "task=nothing", f"out={tmp_path}").status == 2


def test_a_page_of_its_own_for_each_task(tmp_path):
    found = shown(written(tmp_path, [*runs(ratios=(2.0, 4.0)), *runs("imdb")]), tmp_path)
    digits, imdb = found["tasks"]
    assert (digits["name"], digits["counts"]["runs"], len(digits["tables"])) == ("digits", 18, 2)
    assert (imdb["name"], imdb["counts"]["runs"], len(imdb["tables"])) == ("imdb", 9, 1)
    assert {row["tables"] for row in found["board"]["rows"]} == {3}
    assert {row["tables"] for row in digits["board"]["rows"]} == {2}
    tags = Tags(render(found)).tags
    views = [a["id"] for tag, a in tags if tag == "section" and a.get("class") == "view"]
    linked = {a["href"] for tag, a in tags if tag == "a"}
    assert views == ["all", "task=digits", "task=imdb"] and {f"#{view}" for view in views} <= linked


def test_notes_stand_at_the_row_or_cell_that_they_are_of(tmp_path):
    noise = "differ by 0 in accuracy on D_f, less than 2 times the noise of 0.1"
    silent = record("salun", {"test_accuracy": 0.5}, reasons={"relative.ret_dev": noise})
    lone = record("scrub", {"test_accuracy": 0.6, "mia_auc": 0.5})
    alone = record(
        "ssd", {"test_accuracy": 0.6, "mia_auc": None}, reasons={"unlearned.mia_auc": "no test set"}
    )
    alone.metrics["retrained"] = None
    found = shown(written(tmp_path, [silent, lone, alone]), tmp_path)
    (task,) = found["tasks"]
    (table,) = task["tables"]
    notes, rows = dict(table["notes"]), {row["name"]: row for row in table["rows"]}
    assert [notes[mark] for mark in rows["salun"]["n_marks"]] == ["n = 1 has no interval and decides nothing"]
    (told,) = [notes[mark] for mark in rows["salun"]["marks"]]
    assert "suppressed (ret_dev)" in told and rows["scrub"]["marks"] == []
    (told,) = [notes[mark] for mark in rows["ssd"]["marks"]]
    assert told.startswith("not on the leaderboard: it has no retrained model")
    mia = table["columns"].index("mia_auc ≈")
    cells = {name: row["cells"][mia] for name, row in rows.items()}
    assert [notes[mark] for mark in cells["ssd"]["marks"]] == ["no test set"] and not cells["scrub"]["marks"]
    board = task["board"]
    assert [row["name"] for row in board["left_out"]] == ["ssd"] and "in 1 table" in board["left_out"][0][
        "why"
    ]
    assert [bool(row["marks"]) for row in sorted(board["rows"], key=lambda row: row["name"])] == [True, False]
    runs_ = {row["key"][2]: found["runs"]["pool"][row["wary"]] for row in found["runs"]["rows"]}
    assert runs_["scrub"] == "" and runs_["salun"] == "suppressed: ret_dev" and "no retrained" in runs_["ssd"]
    text = render(found)
    assert text.count("n = 1 has no interval") == 3  # once a table: two leaderboards and the task's


def test_a_number_of_fewer_seeds_says_so(tmp_path):
    some = over_seeds("salun", [0.5, 0.6, 0.7])
    some[1].metrics["unlearned"], some[1].reasons = (
        {"test_accuracy": None},
        {"unlearned.test_accuracy": "why"},
    )
    (task,) = shown(written(tmp_path, some), tmp_path)["tasks"]
    (table,) = task["tables"]
    salun = next(row for row in table["rows"] if row["name"] == "salun")
    told = [dict(table["notes"])[mark] for cell in salun["cells"] for mark in cell["marks"]]
    assert told == ["of 2 of 3 training seeds: why"]


def test_marks_are_letters():
    notes = Footnotes()
    assert [notes.mark(str(number))[0] for number in (0, 1, 25, 0)] == ["a", "b", "c", "a"]
    marks = [notes.mark(f"x{number}")[0] for number in range(750)]
    assert marks[22:25] == ["z", "aa", "ab"] and len(set(marks)) == 750


def test_colours_can_be_read():
    """WCAG 2.2, AA: 4.5 for text, 3 for the edges of controls; in the light, in the dark, on paper."""
    light, dark = re.findall(r":root \{ ([^}]*--edge[^}]*) \}", STYLE)
    (paper,) = re.findall(r":root \{ ([^}]*color-scheme: light;[^}]*) \}", STYLE)
    for scheme in (light, dark, paper):
        colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", scheme))
        for ground in ("page", "band"):
            for text in ("text", "soft", "mark", "warn"):
                assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground, scheme)
            if "edge" in colours:
                assert contrast(colours["edge"], colours[ground]) >= 3, (ground, scheme)
    outside = STYLE.replace(light, "").replace(dark, "").replace(paper, "")
    assert set(re.findall(r"(?<!-)\b(?:color|background): (#\w+)", outside)) == {"#ffffff", "#0008"}  # images


def contrast(first: str, second: str) -> float:
    """Of two colours, by WCAG: (L1 + .05) / (L2 + .05)."""

    def luminance(colour: str) -> float:
        parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted(map(luminance, (first, second)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_by_hand():
    assert contrast("#000000", "#ffffff") == pytest.approx(21) and contrast("#777777", "#ffffff") < 4.5
