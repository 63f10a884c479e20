"""`mubench report`: one file that says what records say, whatever text they hold, and works in a browser."""

from __future__ import annotations

import base64
import gzip
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
from test_plots import runs, written
from test_table import over_seeds, record

from mubench.report.page.comparing import fair
from mubench.report.page.content import content
from mubench.report.page.leaderboard import lacking, leaderboard
from mubench.report.page.render import embedded, render
from mubench.report.rows import group

EVIL = "</script><script>document.title='owned'</script><img src=x onerror=alert(1)>"
BROWSER = all(shutil.which(name) for name in ("chromium", "chromedriver"))


def page_of(out: Path, records) -> str:
    found = written(out, records)
    sheets, refused = fair([one for _, one in found])
    assert not refused
    return render(content(found, sheets, (), out), [("<b>picture</b>", b"<svg/>")])


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
    entries, left_out = leaderboard(sheets)
    wins = {entry.method: entry.wins["test_accuracy"] for entry in entries}
    assert wins == {"scrub": 1.0, "finetune": 0.5, "salun": 0.0} and not left_out
    assert {(entry.tables, entry.runs, entry.seeds) for entry in entries} == {(2, 6, 3)}
    tied, _ = leaderboard(fair([*over_seeds("a", [0.5, 0.7]), *over_seeds("b", [0.7, 0.5])])[0])
    assert {entry.method: entry.wins["test_accuracy"] for entry in tied} == {"a": 0.5, "b": 0.5}


@pytest.mark.parametrize("what", ["forget_set", "retrained", "cost"])
def test_a_row_without_what_it_needs_is_left_out_with_the_reason(what):
    one = record("salun", {"test_accuracy": 0.5})
    if what == "forget_set":
        one.forget_set = {}
    elif what == "retrained":
        one.metrics["retrained"] = None
    else:
        one.cost = {}
    (rows,) = group([one]).values() if what != "forget_set" else [None]
    if rows is None:
        from mubench.report.rows import Row

        assert lacking(Row((one,))) == "no hash of the forget set"
    else:
        told = {"retrained": "no retrained model (evaluation.reference=retrain)", "cost": "no cost"}
        assert lacking(rows["salun"]) == told[what]


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
    sheets, _ = fair([one])
    text = render(content([(folder, one)], sheets, (), tmp_path), [(EVIL, b"<svg/>")])
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
    listed = content(found, fair([one for _, one in found])[0], (), tmp_path)["runs"]
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
    plain = cli("report", "--plain", "task=imdb", f"out={tmp_path}")
    text = Path(plain.out.strip()).read_text()
    assert "<img" not in text and "digits · m" not in text and "imdb · m" in text
    assert cli("report", "task=nothing", f"out={tmp_path}").status == 2


@pytest.fixture
def browser():
    """Chromium without a window, without a network."""
    pytest.importorskip("selenium")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    for word in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
                 "--no-first-run", "--disable-component-update", "--disable-sync"):  # fmt: skip
        options.add_argument(word)
    options.binary_location = shutil.which("chromium")
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    service = webdriver.ChromeService(executable_path=shutil.which("chromedriver"))
    driver = webdriver.Chrome(options=options, service=service)
    yield driver
    driver.quit()


@pytest.mark.skipif(not BROWSER, reason="chromium and chromedriver are not installed")
def test_a_reader_sorts_filters_and_follows_a_run(tmp_path, browser):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.ui import WebDriverWait

    (tmp_path / "page.html").write_text(page_of(tmp_path, [*runs(), *runs("imdb")]))
    browser.get(f"file://{tmp_path / 'page.html'}")

    def texts(css: str) -> list[str]:
        return [one.text for one in browser.find_elements(By.CSS_SELECTOR, css)]

    assert texts("#leaderboard tbody th")[0] == "finetune"  # equal in the first metric: by name
    heading = next(b for b in browser.find_elements(By.CSS_SELECTOR, "#leaderboard thead button")
                   if b.text.startswith("test_accuracy"))  # fmt: skip
    heading.click()
    assert texts("#leaderboard tbody th") == ["scrub", "finetune", "salun"]
    heading.click()
    assert texts("#leaderboard tbody th") == ["salun", "finetune", "scrub"]

    WebDriverWait(browser, 10).until(lambda _: texts("#count") == ["18 of 18 runs"])
    browser.find_element(By.ID, "search").send_keys("imdb scr")
    assert texts("#count") == ["3 of 18 runs"]
    assert {row.split()[2] for row in texts("#list tbody tr")} == {"scrub"}
    browser.find_element(By.CSS_SELECTOR, "#list tbody tr").send_keys(Keys.ENTER)
    assert texts("#run-title") == ["scrub on imdb with m, random 5 %"]
    assert "test_accuracy" in texts("#run-body")[0] and '"sha256"' in texts("#run-body")[0]

    asked = [json.loads(line["message"])["message"] for line in browser.get_log("performance")]
    urls = [m["params"]["request"]["url"] for m in asked if m["method"] == "Network.requestWillBeSent"]
    assert [url for url in urls if not url.startswith(("file:", "data:"))] == []
    assert [line for line in browser.get_log("browser") if line["level"] == "SEVERE"] == []


@pytest.mark.skipif(not BROWSER, reason="chromium and chromedriver are not installed")
def test_hostile_names_do_nothing_in_a_browser(tmp_path, browser):
    one = record("salun", {"test_accuracy": 0.5}, config={"evil": EVIL})
    one.key["method"] = EVIL
    text = render(
        content([(tmp_path, one)], fair([one])[0], (), tmp_path), [(EVIL, b"<svg onload='alert(1)'/>")]
    )
    (tmp_path / "page.html").write_text(text)
    browser.get(f"file://{tmp_path / 'page.html'}")
    assert browser.title == "mubench report"
