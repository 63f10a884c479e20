"""The page in a real browser: sorted, narrowed, followed, printed; all named and reached by keyboard."""

from __future__ import annotations

import base64
import json
import shutil
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from test_page import EVIL, shown
from test_plots import runs, written
from test_submissions import outputs, run
from test_table import record

from mubench.report.page.render import render

pytest.importorskip("selenium")
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

BROWSER = all(shutil.which(name) for name in ("chromium", "chromedriver"))
pytestmark = pytest.mark.skipif(not BROWSER, reason="chromium and chromedriver are not installed")
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking",
    "--no-first-run", "--disable-component-update", "--disable-sync",
)  # fmt: skip
# Every control of the page that can be seen, and by what a reader of it is told what it is.
CONTROLS = """
return [...document.querySelectorAll('a[href], button, input, select, [tabindex="0"]')]
  .filter((one) => one.checkVisibility() && !one.disabled)
  .map((one) => ({tag: one.tagName, name: (one.getAttribute('aria-label') || one.labels?.[0]?.textContent
    || one.textContent).trim()}));
"""

# What is focused from now on, and whether that can be seen.
FOLLOWED = """
window.reached = [];
document.addEventListener('focusin', ({target}) => {
  const style = getComputedStyle(target);
  window.reached.push([target.tagName, style.outlineStyle !== 'none' && style.outlineWidth !== '0px']);
});
"""
PAPER = 1032  # the width of the page's paper without its margins, in CSS pixels: (297 - 24) mm


@pytest.fixture(scope="module")
def driver():
    """Chromium without a window, without a network."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    for word in FLAGS:
        options.add_argument(word)
    options.binary_location = shutil.which("chromium")
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    service = webdriver.ChromeService(executable_path=shutil.which("chromedriver"))
    made = webdriver.Chrome(options=options, service=service)
    yield made
    made.quit()


@pytest.fixture
def browser(driver):
    """The same, which asks the network for nothing and finds no fault."""
    driver.get("about:blank")
    for kind in ("performance", "browser"):
        driver.get_log(kind)
    yield driver
    asked = [json.loads(line["message"])["message"] for line in driver.get_log("performance")]
    urls = [m["params"]["request"]["url"] for m in asked if m["method"] == "Network.requestWillBeSent"]
    assert [url for url in urls if not url.startswith(("file:", "data:", "about:"))] == []
    assert [line for line in driver.get_log("browser") if line["level"] == "SEVERE"] == []


def opened(browser, path: Path, place: str = "") -> None:
    browser.get("about:blank")  # another place in the same page would not load it anew
    browser.get(f"file://{path}{place}")
    WebDriverWait(browser, 10).until(lambda _: texts(browser, "#count")[0].endswith("runs"))


def page(browser, folder: Path, several, place: str = "") -> None:
    path = folder / "page.html"
    path.write_text(render(shown(written(folder, several), folder)), encoding="utf-8")
    opened(browser, path, place)


def texts(browser, css: str) -> list[str]:
    """The texts of what can be seen."""
    return [one.text for one in browser.find_elements(By.CSS_SELECTOR, css) if one.is_displayed()]


def heading(browser, css: str, name: str):
    buttons = browser.find_elements(By.CSS_SELECTOR, f"{css} thead button")
    return next(button for button in buttons if button.is_displayed() and button.text.startswith(name))


def test_a_reader_sorts_filters_and_follows_a_run(tmp_path, browser):
    page(browser, tmp_path, [*runs(), *runs("imdb")])
    first = "#all table.sortable tbody th"
    assert texts(browser, first)[0] == "finetune"  # equal in the first metric: by name
    button = heading(browser, "#all", "test_accuracy")
    button.click()
    assert texts(browser, first) == ["scrub", "finetune", "salun"]
    button.send_keys(Keys.ENTER)
    assert texts(browser, first) == ["salun", "finetune", "scrub"]
    head = button.find_element(By.XPATH, "..")
    assert head.get_attribute("aria-sort") == "ascending"

    browser.find_element(By.ID, "rows").send_keys("scr sal")
    assert texts(browser, first) == ["salun", "scrub"] and texts(browser, "#left") == ["2 of 3 rows"]
    assert texts(browser, "#count") == ["18 of 18 runs"]
    browser.find_element(By.ID, "search").send_keys("imdb scr")
    assert texts(browser, "#count") == ["3 of 18 runs"]
    assert {row.split()[2] for row in texts(browser, "#list tbody tr")} == {"scrub"}
    browser.find_element(By.CSS_SELECTOR, "#list tbody a").send_keys(Keys.ENTER)
    assert texts(browser, "#run-title") == ["scrub on imdb with m, random 5 %"]
    body = texts(browser, "#run-body")[0]
    assert "test_accuracy" in body and "sha256" in body and "retrain_seconds" in body
    browser.switch_to.active_element.send_keys(Keys.ESCAPE)
    assert texts(browser, "#run-title") == [] and browser.current_url.endswith("#all")


def test_a_task_has_a_page_that_an_address_names(tmp_path, browser):
    page(browser, tmp_path, [*runs(ratios=(2.0, 4.0)), *runs("mini/imdb")], "#task=mini/imdb")
    assert texts(browser, "h2") == ["mini/imdb", "Runs"] and browser.title == "mini/imdb · mubench report"
    assert texts(browser, "#count") == ["9 of 27 runs"] and texts(browser, "h4") == [
        "mini/imdb · m · random 5 %"
    ]
    link = browser.find_element(By.LINK_TEXT, "digits")
    link.send_keys(Keys.ENTER)
    assert texts(browser, "h2") == ["digits", "Runs"] and link.get_attribute("aria-current") == "page"
    assert browser.switch_to.active_element.text == "digits"  # where reading goes on
    assert texts(browser, "h4") == ["digits · m · random 2 %", "digits · m · random 4 %"]
    browser.find_element(By.LINK_TEXT, "digits · m · random 4 %").click()
    assert texts(browser, "h2") == ["digits", "Runs"]
    browser.find_element(By.CSS_SELECTOR, "#list tbody a").click()
    address = browser.current_url
    browser.back()
    assert texts(browser, "#run-title") == [] and texts(browser, "h2") == ["digits", "Runs"]
    opened(browser, tmp_path / "page.html", address[address.index("#") :])
    assert texts(browser, "#run-title") == ["salun on digits with m, random 2 %"]
    opened(browser, tmp_path / "page.html", "#task=%E0%A4%A")  # what no address can mean
    assert texts(browser, "h2") == ["All tasks", "Runs"]


@contextmanager
def emulated(browser, width: int, media: str = ""):
    """A window of this width, or paper."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media})
    try:
        yield
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_every_control_has_a_name_and_the_keyboard_reaches_it(tmp_path, browser):
    page(browser, tmp_path, runs())
    for width in (1400, 400):
        with emulated(browser, width):
            assert browser.execute_script("return document.documentElement.scrollWidth") <= width
            controls = browser.execute_script(CONTROLS)
            assert len(controls) > 30 and all(one["name"] for one in controls), controls
    browser.execute_script(FOLLOWED)
    browser.find_element(By.TAG_NAME, "body").send_keys(Keys.TAB * len(controls))
    reached = browser.execute_script("return window.reached")
    assert [tag for tag, _ in reached] == [one["tag"] for one in controls]
    assert all(seen for _, seen in reached), reached


def test_readers_of_the_screen_are_told_what_tables_and_headings_are(tmp_path, browser):
    page(browser, tmp_path, [*runs(), *runs("imdb")])
    assert browser.execute_script("return document.documentElement.lang") == "en"
    for bare in (
        "'th:not([scope])'", "'table:not(:has(> caption))'", "'.sortable thead th:not([aria-sort])'",
        "'#list thead th:not([aria-sort])'", "'img:not([alt])'", "'thead th[aria-sort]:not(:has(> button))'",
    ):  # fmt: skip
        assert browser.execute_script(f"return document.querySelectorAll({bare}).length") == 0, bare
    ask = "return [...document.querySelectorAll('h1, h2, h3, h4')].map((one) => Number(one.tagName[1]))"
    levels = browser.execute_script(ask)
    assert levels[0] == 1 and all(after <= before + 1 for before, after in pairwise(levels))


def test_paper_shows_all_tasks_or_the_chosen_one_and_cuts_nothing(tmp_path, browser):
    names = ("test_accuracy", "retain_accuracy", "forget_accuracy", "test_loss", "forget_loss", "mia_auc",
             "test_rougeL", "forget_rougeL", "test_fid", "forget_clip_score")  # fmt: skip
    page(browser, tmp_path, [*runs(names=names), *runs("imdb")])
    seen = {}
    for place in ("#all", "#task=imdb"):
        browser.get(f"file://{tmp_path / 'page.html'}{place}")
        with emulated(browser, PAPER, "print"):
            assert browser.execute_script("return document.documentElement.scrollWidth") <= PAPER
            seen[place] = texts(browser, "h2"), texts(browser, "nav, form, .pages, .skip, thead button")
            head = "return getComputedStyle(document.querySelector('thead th + th'), '::before').content"
            assert browser.execute_script(head) == '"tables"'  # a text, which every sheet of paper repeats
    assert seen["#all"] == (["All tasks", "digits", "imdb"], [])
    assert seen["#task=imdb"] == (["imdb", "Runs"], [])
    made = browser.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})
    assert base64.b64decode(made["data"]).startswith(b"%PDF")


def test_hostile_names_do_nothing_in_a_browser(tmp_path, browser):
    one = record("salun", {"test_accuracy": 0.5}, config={"evil": EVIL}, reasons={f"unlearned.{EVIL}": EVIL})
    one.key["method"] = one.key["task"] = EVIL
    path = tmp_path / "page.html"
    path.write_text(render(shown([(tmp_path, one)], tmp_path, [(EVIL, b"<svg onload='alert(1)'/>")])))
    opened(browser, path)
    browser.find_element(By.CSS_SELECTOR, "#list tbody a").click()
    assert texts(browser, "#run-title") == [f"{EVIL} on {EVIL} with m, random 5 %"]
    browser.switch_to.active_element.send_keys(Keys.ESCAPE)
    browser.find_element(By.CSS_SELECTOR, "nav li + li a").click()
    assert browser.title == f"{EVIL} · mubench report"


def test_a_folder_of_submissions_becomes_the_leaderboards_page(tmp_path, cli, browser):
    """As docs/submissions.md says: one of the zips is bad, and it is done twice."""
    zips, site = tmp_path / "zips", tmp_path / "site"
    for name, several in {"alpha": [run(), run("scrub")], "beta": [run(train=2), run("ssd")]}.items():
        out = outputs(tmp_path / name, *several)
        done = cli("export", f"--name={name}", f"--to={zips / f'{name}.zip'}", f"out={out}")
        assert done.status == 0, done.err
    (zips / "bad.zip").write_bytes((zips / "beta.zip").read_bytes()[:-30])
    for new in (2, 0):
        done = cli("import", str(zips), f"out={site}")
        assert done.status == 1 and "bad.zip: it is no zip" in done.err and len(done.err.splitlines()) == 1
        assert done.out.count(f"{new} runs new") == 2
        done = cli("report", "--plain", f"out={site}")
        assert done.status == 0 and "4 of 4 runs are what others say: alpha 2, beta 2" in done.err, done.err
    opened(browser, site / "reports" / "report.html")
    names_ = [row.split() for row in texts(browser, "#all .sortable tbody th")]
    assert names_ == [["salun", "alpha", "beta"], ["scrub", "alpha"], ["ssd", "beta"]]
    browser.find_element(By.CSS_SELECTOR, "#whose option:nth-child(3)").click()
    assert [row.split()[0] for row in texts(browser, "#all .sortable tbody th")] == ["salun", "ssd"]
    browser.find_element(By.CSS_SELECTOR, "#group option:nth-child(2)").click()
    assert texts(browser, "#count") == ["2 of 4 runs"]
    assert {row.split()[2] for row in texts(browser, "#list tbody tr")} == {"salun", "scrub"}
    only = cli("table", "--format=json", "group=beta", f"out={site}")
    names = {row["method"] for row in json.loads(only.out)} - {"original", "retrained"}
    assert names == {"salun", "ssd"} and "2 of 2 runs are what others say" in only.err
    wrong = cli("table", "group=betta", f"out={site}")
    assert wrong.status == 2 and "no run of the group 'betta'. Did you mean 'beta'?" in wrong.err
