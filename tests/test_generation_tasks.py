"""Tasks of text generation: real layouts in small, the user's own files, whole people to forget."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch

from mubench import catalog, encoding
from mubench.data import Columns, Dataset
from mubench.deletion.group import Group
from mubench.errors import UsageError
from mubench.modalities import tokens
from mubench.plan import Planner
from mubench.progress import Reporter
from mubench.tasks import dialogues, invented
from mubench.typed import component

DIRS = catalog.config_dirs()
CAUSAL = {"name": "mini/gpt2", "build": {"auto": "AutoModelForCausalLM"}, "vocabulary": 400}


def load(name: str, out, model=CAUSAL, modality=None, **changes) -> Dataset:
    settings = Planner(DIRS).cells([f"task={name}"], multirun=False)[0].settings
    task = component({**settings.task, **changes}, "task")
    kind = component({**settings.modality, **(modality or {})}, "modality")
    return encoding.load(task, kind, model, out, Reporter(quiet=True))


def texts(data: Dataset, split: str, rows) -> list[tuple[str, str]]:
    """Prompts and answers of some rows, decoded."""
    tokenizer, columns = tokens.load(Path(data.facts["encoder"])), data[split]

    def decoded(ids) -> str:
        return tokenizer.decode(ids, skip_special_tokens=True)

    labels = columns.targets
    return [
        (decoded(columns.inputs["prompt_ids"][row]), decoded(labels[row][labels[row] != -100]))
        for row in rows
    ]


# SAMSum ------------------------------------------------------------------------------------------


def chats(count: int, start: int = 0) -> dict[str, list[str]]:
    numbers = range(start, start + count)
    return {"id": [str(n) for n in numbers], "dialogue": [f"amy: {n}?\r\nbob: yes, {n}." for n in numbers],
            "summary": [f"they say {n}." for n in numbers]}  # fmt: skip


def samsum_folder(folder, kind: str, **changed) -> str:
    """The hub's files (csv), its parquet conversion, json lines, or what save_to_disk leaves."""
    tables = {name: chats(count, start) for name, count, start in
              (("train", 30, 0), ("validation", 5, 30), ("test", 6, 40))}  # fmt: skip
    for field, (row, value) in changed.items():
        tables["train"][field][row] = value
    made = {name: datasets.Dataset.from_dict(rows) for name, rows in tables.items()}
    folder.mkdir()
    if kind == "save_to_disk":
        datasets.DatasetDict(made).save_to_disk(folder)
    for name, table in made.items():
        if kind == "csv":
            table.to_csv(folder / f"{name}.csv")
        if kind == "jsonl":
            table.to_json(folder / f"{name}.jsonl")
        if kind == "parquet":
            (folder / "samsum" / name).mkdir(parents=True)
            table.to_parquet(folder / "samsum" / name / "0000.parquet")
    return str(folder)


@pytest.mark.parametrize("kind", ["csv", "parquet", "jsonl", "save_to_disk"])
def test_samsum_loads_from_a_local_copy_in_every_layout(tmp_path, kind):
    data = load(
        "samsum", tmp_path, source=samsum_folder(tmp_path / "copy", kind), modality={"max_prompt": 64}
    )
    assert {name: len(part) for name, part in data.splits.items()} == {
        "train": 30,
        "validation": 5,
        "test": 6,
    }
    assert texts(data, "test", [2]) == [("summarize : amy : 42? bob : yes, 42.", "they say 42.")]
    assert data.classes == () and data.groups == () and data["train"].groups is None


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_the_known_empty_chat_is_dropped_before_rows_are_counted(tmp_path, kind):
    source = samsum_folder(tmp_path / "copy", kind, dialogue=(7, ""))
    data = load("samsum", tmp_path, source=source, known_empty={"train": [7]})
    assert len(data["train"]) == 29 and data["train"].ids.tolist() == list(range(29))
    assert [answer for _, answer in texts(data, "train", [6, 7])] == ["they say 6.", "they say 8."]
    with pytest.raises(UsageError, match="row 7 of train: the prompt is empty"):
        load("samsum", tmp_path, source=source)
    whole = load("samsum", tmp_path, known_empty={"train": [3]}, source=samsum_folder(tmp_path / "b", kind))
    assert len(whole["train"]) == 30  # a row that is not empty stays


def test_other_faults_of_a_copy_are_named(tmp_path):
    source = samsum_folder(tmp_path / "copy", "csv", summary=(4, " "))
    with pytest.raises(UsageError, match="samsum: row 4 of train: the answer is empty"):
        load("samsum", tmp_path, source=source)
    (tmp_path / "copy/train.csv").write_text('id,dialogue,summary\n1,"a","b"\n2,"a","b","c","d"\n')
    with pytest.raises(UsageError, match=r"train\.csv cannot be read"):
        load("samsum", tmp_path, source=source)
    (tmp_path / "copy/train.csv").write_text("id,chat,summary\n1,a,b\n")
    with pytest.raises(UsageError, match="the data has no field 'dialogue', only id, chat, summary"):
        load("samsum", tmp_path, source=source)
    (tmp_path / "copy/train.csv").unlink()
    with pytest.raises(UsageError, match=r"no train split there .*train\*\.csv"):
        load("samsum", tmp_path, source=source)


# Profiles ----------------------------------------------------------------------------------------

PEOPLE = [{"name": f"Ada {n}", "profile": f"she is number {n}."} for n in range(20)]


def people_file(folder, kind: str, rows=PEOPLE) -> str:
    path = folder / f"people.{kind}"
    if kind == "csv":
        lines = [f'"{row["name"]}","{row["profile"]}"' for row in rows]
        path.write_text("\n".join(["name,profile", *lines]))
    elif kind == "json":
        path.write_text(json.dumps(rows))
    else:
        path.write_text("\n".join(json.dumps(row) for row in rows))
    return str(path)


@pytest.mark.parametrize("kind", ["csv", "json", "jsonl"])
def test_profiles_come_from_the_users_own_file(tmp_path, kind):
    data = load("celeb_profile", tmp_path, source=people_file(tmp_path, kind))
    assert {name: len(part) for name, part in data.splits.items()} == {"train": 18, "test": 2}
    trained, held = ({data.groups[n] for n in data[part].groups} for part in ("train", "test"))
    assert len(trained) == 18 and len(held) == 2 and not trained & held
    person = data.groups[data["train"].groups[3]]
    (pair,) = texts(data, "train", [3])
    assert pair == (f"question : who is {person.lower()}? answer :", f"she is number {person.split()[1]}.")
    again = load("celeb_profile", tmp_path / "b", source=people_file(tmp_path, kind))
    assert np.array_equal(again["test"].groups, data["test"].groups)


def test_all_rows_of_a_person_stay_together(tmp_path):
    rows = [{"name": f"Ada {n % 8}", "profile": f"part {n}."} for n in range(32)]
    data = load("celeb_profile", tmp_path, source=people_file(tmp_path, "jsonl", rows), held_out=25.0)
    assert len(data["test"]) == 8 and len(set(data["test"].groups)) == 2
    split = Group("group", 20.0).choose(data, 1)
    assert len(split.forget) == 4 and len(set(data["train"].groups[split.forget])) == 1


def test_what_is_wrong_with_profiles_is_said(tmp_path):
    with pytest.raises(
        UsageError, match=r"pass task\.source=FILE, a csv .*have a name and a profile.*mini/celeb"
    ):
        load("celeb_profile", tmp_path)
    nameless = [*PEOPLE[:5], {"name": "", "profile": "x"}]
    with pytest.raises(UsageError, match="row 5 has no name"):
        load("celeb_profile", tmp_path, source=people_file(tmp_path, "json", nameless))
    other = [{"name": "a", "text": "b"}]
    with pytest.raises(UsageError, match="no field 'profile', only name, text"):
        load("celeb_profile", tmp_path, source=people_file(tmp_path, "json", other))
    with pytest.raises(UsageError, match="2 people are too few to hold 1 out"):
        load("celeb_profile", tmp_path, source=people_file(tmp_path, "json", PEOPLE[:2]))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="expected one file"):
        load("celeb_profile", tmp_path, source=str(tmp_path / "empty"))
    with pytest.raises(UsageError, match=r"must hold \{name\}"):
        load("celeb_profile", tmp_path, source=str(tmp_path), question="Who?")


# TOFU --------------------------------------------------------------------------------------------


def tofu_folder(folder, authors: int = 20, **without: str) -> str:
    """Upstream's files, json lines: 20 questions an author, some of them with alternatives."""
    folder.mkdir()

    def rows(numbers, perturbed: bool, paraphrase: bool = True) -> list[dict]:
        found = []
        for n in numbers:
            row = {"question": f"what is {n}?", "answer": f"it is {n}."}
            if perturbed:
                row["perturbed_answer"] = [f"it is {n + k}." for k in range(1, 4)]
            if perturbed and paraphrase:
                row |= {"paraphrased_answer": f"{n} it is.", "paraphrased_question": f"which is {n}?"}
            found.append(row)
        return found

    count = authors * 20
    files = {
        "full": rows(range(count), False),
        "forget10_perturbed": rows(range(count - count // 10, count), True),
        "retain_perturbed": rows(range(0, 50), True),
        "real_authors_perturbed": rows(range(5000, 5010), True, paraphrase=False),
        "world_facts_perturbed": rows(range(6000, 6012), True, paraphrase=False),
    }
    for name, table in files.items():
        if name not in without:
            (folder / f"{name}.json").write_text("\n".join(json.dumps(row) for row in table))
    return str(folder)


def test_tofu_loads_upstreams_files_with_their_alternatives(tmp_path):
    data = load("tofu", tmp_path, source=tofu_folder(tmp_path / "copy"))
    sizes = {name: len(part) for name, part in data.splits.items()}
    assert sizes == {"train": 400, "test": 22, "real_authors": 10, "world_facts": 12}
    assert len(data.groups) == 20 and data["train"].groups[19] == 0 and data["train"].groups[20] == 1
    given = (data["train"].inputs["alternatives"] != -100).any(dim=2)
    assert given.sum(dim=1).tolist() == [4] * 50 + [0] * 310 + [4] * 40
    assert (data["test"].inputs["alternatives"] != -100).any(dim=2).sum(dim=1).tolist() == [4] * 22
    tokenizer = tokens.load(Path(data.facts["encoder"]))
    row = data["train"].inputs["alternatives"][399]
    assert tokenizer.decode(row[0][row[0] != -100], skip_special_tokens=True) == "399 it is."
    assert tokenizer.decode(row[3][row[3] != -100], skip_special_tokens=True) == "it is 402."


@pytest.mark.parametrize(("ratio", "authors"), [(5, 1), (10, 2), (25, 5)])
def test_the_last_authors_are_upstreams_lists(tmp_path, ratio, authors):
    data = load("tofu", tmp_path, source=tofu_folder(tmp_path / "copy"))
    split = Group("group", ratio, "last").choose(data, 3)
    assert np.sort(split.forget).tolist() == list(range(400 - 20 * authors, 400))


def test_a_tofu_that_is_not_whole_is_named(tmp_path):
    with pytest.raises(UsageError, match="no forget10_perturbed split there"):
        load("tofu", tmp_path, source=tofu_folder(tmp_path / "a", forget10_perturbed=""))
    source = tofu_folder(tmp_path / "b")
    (tmp_path / "b/retain_perturbed.json").write_text(
        json.dumps({"question": "x?", "answer": "y", "paraphrased_answer": "z", "perturbed_answer": ["w"]})
    )
    with pytest.raises(UsageError, match="no question of retain_perturbed stands in full"):
        load("tofu", tmp_path, source=source)


# Whole groups ------------------------------------------------------------------------------------


def grouped(sizes=(5, 1, 3, 7, 4), names=("Ada", "Bo", "Cy", "Di", "Ed")) -> Dataset:
    groups = np.random.default_rng(0).permutation(np.repeat(np.arange(len(sizes)), sizes))
    train = Columns(
        {}, torch.zeros(len(groups), 2), np.arange(len(groups)), np.zeros(len(groups), int), groups
    )
    return Dataset({"train": train}, (), np.zeros(len(groups), int), None, {}, names)


def test_groups_go_whole_nested_and_by_the_seed():
    data = grouped()
    splits = [Group("group", ratio).choose(data, 42) for ratio in (5, 20, 40, 60)]
    for smaller, larger in pairwise(splits):
        assert np.array_equal(smaller.forget, larger.forget[: len(smaller.forget)])
    for split in splits:
        gone = set(data["train"].groups[split.forget])
        assert gone and not gone & set(data["train"].groups[split.retain])
    orders = {tuple(Group("group", 20).choose(data, seed).forget) for seed in range(6)}
    assert len(orders) > 1


def test_groups_by_name():
    data = grouped()
    split = Group("group", names=["Di", "Bo"]).choose(data, 0)
    assert set(data["train"].groups[split.forget]) == {3, 1} and len(split.forget) == 8
    with pytest.raises(UsageError, match=r"no training row belongs to 'Adda'\. Did you mean 'Ada'\?"):
        Group("group", names=["Adda"]).choose(data, 0)
    with pytest.raises(UsageError, match="names no group"):
        Group("group", names=[])
    with pytest.raises(UsageError, match=r"deletion\.order is one of random, last"):
        Group("group", order="first")


def test_a_task_without_groups_refuses(tmp_path):
    data = load("mini/samsum", tmp_path)
    with pytest.raises(UsageError, match="rows belong to no groups such as people"):
        Group("group").choose(data, 0)


# Twins -------------------------------------------------------------------------------------------


def test_twins_are_the_same_each_time_and_have_upstreams_fields():
    chat = dialogues.dialogues("train", 50, 5, 5, 1)
    assert chat.column_names == ["id", "dialogue", "summary"] and len(set(chat["dialogue"])) == 50
    assert chat["summary"] == dialogues.dialogues("train", 50, 5, 5, 1)["summary"]
    assert not set(chat["dialogue"]) & set(dialogues.dialogues("test", 50, 5, 5, 1)["dialogue"])
    people = invented.people(40, 1)
    assert people["profile"] == invented.people(40, 1)["profile"] != invented.people(40, 2)["profile"]
    assert len(set(people["name"])) == 40
    full = invented.authors("full", 20, 3, 1)
    assert len(full) == 100 and full.column_names == ["question", "answer"]
    last = invented.authors("forget10_perturbed", 20, 3, 1)
    assert last["question"] == full["question"][90:] and last["answer"] == full["answer"][90:]
    for row in last:
        assert len({row["paraphrased_answer"], *row["perturbed_answer"]}) == 4
    others = invented.authors("world_facts_perturbed", 20, 3, 1)
    assert len(others) == 15 and not set(others["question"]) & set(full["question"])


@pytest.mark.parametrize(("name", "sizes"), [
    ("mini/samsum", {"train": 300, "validation": 30, "test": 60}),
    ("mini/celeb_profile", {"train": 120, "test": 30}),
    ("mini/tofu", {"train": 200, "test": 60, "real_authors": 30, "world_facts": 30})])  # fmt: skip
def test_twins_go_through_the_same_loaders_and_lose_no_token(tmp_path, name, sizes):
    data = load(name, tmp_path)
    assert {split: len(part) for split, part in data.splits.items()} == sizes
    tokenizer = tokens.load(Path(data.facts["encoder"]))
    ended = (data["train"].targets == tokenizer.eos_token_id).sum(dim=1)
    assert ended.tolist() == [1] * sizes["train"]
    assert not (data["train"].targets == tokenizer.unk_token_id).any()
    assert texts(data, "train", [0])[0][1].endswith(".")
    assert (
        data["train"].inputs["prompt_mask"].sum(dim=1) < data["train"].inputs["prompt_ids"].shape[1]
    ).all()
