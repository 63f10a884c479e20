"""Names in configuration folders, and that every yaml that comes with mubench holds together."""

from __future__ import annotations

import dataclasses
import inspect
from functools import cache

import pytest
from hydra.utils import get_class, get_method
from omegaconf import OmegaConf

from mubench import catalog
from mubench.errors import UsageError
from mubench.plan import Planner

DIRS = catalog.config_dirs()
# A choice on its own needs these beside it.
COMPANIONS = {"file": ["deletion.path={here}"], "official": ["task=cifar10"]}
READ_BY_MODALITIES = {"image_size", "vocabulary", "tokenizer", "features", "prompt_length"}
APART = ("sweep", "recipe", "attack")  # no node of their own, or one below evaluation
EVERY = [
    (group, name) for group in catalog.GROUPS if group not in APART for name in catalog.names(group, DIRS)
]


def task_for(model: str) -> str:
    """A twin that the model can read."""
    modality = OmegaConf.load(catalog.path_of("model", model, DIRS)).model.modality
    return next(
        name for name in catalog.names("task", DIRS) if name.startswith("mini/")
        and OmegaConf.load(catalog.path_of("task", name, DIRS)).task.modality == modality
    )  # fmt: skip


@cache
def composed(group: str, name: str, here: str):
    """The one cell of a command that chooses this."""
    beside = [text.format(here=here) for text in COMPANIONS.get(name, [])]
    if group == "model":
        beside.append(f"task={task_for(name)}")
    (cell,) = Planner(DIRS).cells([f"{group}={name}", *beside], multirun=False)
    return cell


def node_of(group: str, name: str) -> dict:
    """What a yaml becomes in a command that chooses it; a launcher is no part of a run."""
    if group == "hydra/launcher":
        return Planner(DIRS).launcher([f"{group}={name}"])[0]
    return composed(group, name, __file__).resolved[group]


@pytest.mark.parametrize(("group", "name"), EVERY)
def test_every_yaml_composes_under_its_own_name(group, name):
    node = node_of(group, name)
    assert node["name"] == name
    assert catalog.describe(group, name, DIRS)


@pytest.mark.parametrize(
    ("group", "name"), [pair for pair in EVERY if pair[0] not in ("model", "optimizer", "evaluation")]
)
def test_a_yaml_sets_exactly_the_fields_of_its_class(group, name):
    loaded = OmegaConf.load(catalog.path_of(group, name, DIRS))
    node = loaded.get(group, loaded)
    declared = {field.name for field in dataclasses.fields(get_class(node["_target_"])) if field.init}
    assert set(node) - {"_target_"} == declared


@pytest.mark.parametrize("name", catalog.names("model", DIRS))
def test_a_model_builds_with_the_arguments_of_its_function(name):
    node = composed("model", name, __file__).resolved["model"]
    always = {"name", "modality", "build", "checkpoint"}
    assert always <= set(node) <= always | READ_BY_MODALITIES
    build = inspect.signature(get_method(node["build"]["_target_"]))
    tokens = {"vocab_size", "length"} & set(build.parameters)  # of the input's dimensions, if one names them
    given = dict.fromkeys(["classes", "channels", "image_size", *tokens, *node["build"]])
    given |= {"architecture": None, "checkpoint": None} if node["checkpoint"] else {}
    given.pop("_target_")
    build.bind(**given)


def test_every_sweep_is_a_sweep_without_m():
    planner = Planner(DIRS)
    cells = {}
    for name in catalog.names("sweep", DIRS):
        assert planner.is_sweep([f"sweep={name}"])
        if name != "paper":  # thousands of cells: tests/test_plan.py looks at those of one task
            cells[name] = planner.cells([f"sweep={name}"], multirun=False)
            assert len(cells[name]) > 1
    methods = {cell.key["method"] for cell in cells["methods"]}
    assert methods == set(catalog.names("method", DIRS))


def test_a_folder_of_ones_own_comes_first_and_a_missing_one_is_named(tmp_path):
    (tmp_path / "method" / "mine").mkdir(parents=True)
    (tmp_path / "method" / "mine" / "best.yaml").write_text("# @package _global_\n# The best\n# of all\n")
    (tmp_path / "method" / "salun.yaml").write_text("# My own SalUn\nname: salun\n")
    dirs = catalog.config_dirs([tmp_path])
    assert "mine/best" in catalog.names("method", dirs)
    assert catalog.header(catalog.path_of("method", "mine/best", dirs)) == ["The best", "of all"]
    assert catalog.describe("method", "salun", dirs) == "My own SalUn"
    with pytest.raises(UsageError, match="there is no such folder"):
        catalog.config_dirs([tmp_path / "nowhere"])


def test_an_unknown_name_gets_the_nearest_one_of_its_group():
    for group, name, guess in [("method", "scrubb", "scrub"), ("task", "cifar-100", "cifar100")]:
        with pytest.raises(UsageError, match=f"unknown {group} '{name}'. Did you mean '{guess}'?"):
            catalog.path_of(group, name, DIRS)
    with pytest.raises(UsageError, match=r"unknown method 'zzz'. .mubench ls methods"):
        catalog.path_of("method", "zzz", DIRS)


@pytest.mark.parametrize("name", catalog.names("task", DIRS))
def test_a_task_leaves_every_deletion_to_choose(name):
    """A setting of the deletion in a task's yaml would be an unknown one to all other strategies."""
    for deletion in ("random", "class", "group"):
        (cell,) = Planner(DIRS).cells([f"task={name}", f"deletion={deletion}"], multirun=False)
        assert cell.key["deletion"] == deletion
