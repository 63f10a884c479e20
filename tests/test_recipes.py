"""Recipes: what is searched, how trials are judged, and that every recipe there is holds together."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import FAST
from omegaconf import OmegaConf

from mubench import catalog
from mubench.plan import Planner
from mubench.records import Record
from mubench.search.judging import DESTROYED, FLOOR, destroyed, distance, judged
from mubench.search.space import EPOCHS, GENTLER, SHARE, gentler, read, spread, typed
from mubench.typed import component

DIRS = catalog.config_dirs()
METHODS = catalog.names("method", DIRS)
RECIPES = [name for name in catalog.names("recipe", DIRS) if name != "none"]
SCRIPT = Path(__file__).parent.parent / "scripts" / "recipes.py"


def record(original, retrained, unlearned) -> Record:
    """A record of forget loss, validation loss and their accuracies; None where there is none."""
    names = ("forget_loss", "validation_loss", "forget_accuracy", "validation_accuracy")
    roles = {"original": original, "retrained": retrained, "unlearned": unlearned}
    metrics = {
        role: {name: value for name, value in zip(names, values, strict=False) if value is not None}
        for role, values in roles.items()
    }
    return Record({}, "", {}, [], "", metrics=metrics)


# What is tried ------------------------------------------------------------------------------------


def test_after_trials_that_all_destroyed_a_model_come_gentler_ones():
    trial = {SHARE: 0.02, EPOCHS: 8, "method.alpha": 0.5}
    found = gentler(trial, forgets=True)
    assert [t[SHARE] for t in found] == pytest.approx([0.005, 0.00125, 0.0003125], rel=0.01)
    assert len(found) == GENTLER and all(t[EPOCHS] == 8 and t["method.alpha"] == 0.5 for t in found)
    assert gentler({"method.alpha": 0.5}, forgets=True) == []


def test_what_only_trains_on_the_retain_set_is_given_more_passes():
    found = gentler({SHARE: 1.0, EPOCHS: 8}, forgets=False)
    assert found == [{SHARE: 1.0, EPOCHS: epochs} for epochs in (16, 32, 64)]


# Judging ------------------------------------------------------------------------------------------


def test_the_original_is_one_whole_way_from_the_retrained_model_and_that_one_is_at_the_goal():
    original, goal = (0.01, 0.3, 1.0, 0.9), (1.0, 0.3, 0.7, 0.9)
    assert distance(record(original, goal, original)) == pytest.approx(1)
    assert distance(record(original, goal, goal)) == 0


def test_a_distance_worked_out_by_hand():
    found = distance(record((0.01, 0.2, 1.0, 0.90), (0.1, 0.3, 0.8, 0.88), (0.4, 0.5, 0.5, 0.85)))
    way, past = math.log(0.101 / 0.011), math.log(0.401 / 0.101)
    forget = (past / way + 0.3 / 0.2) / 2
    lost = (math.log(0.501 / 0.301) + 0.03 / 0.1) / 2
    assert FLOOR == 0.001 and found == pytest.approx(forget + lost)


def test_what_is_better_than_the_retrained_model_on_validation_costs_nothing():
    original, goal = (0.01, 0.3, 1.0, 0.9), (0.1, 0.3, 0.8, 0.9)
    assert distance(record(original, goal, (0.1, 0.1, 0.8, 0.99))) == 0


def test_a_short_way_is_measured_against_what_noise_is():
    """Otherwise a hair beyond the goal would count as many whole ways."""
    original, goal, found = (0.100, 0.3, 1.0, 0.9), (0.101, 0.3, 1.0, 0.9), (0.200, 0.3, 0.95, 0.9)
    expected = (math.log(0.201 / 0.102) / 0.5 + 0.05 / 0.1) / 2
    assert distance(record(original, goal, found)) == pytest.approx(expected)


def test_a_destroyed_model_is_worse_than_any_other():
    original, goal = (0.01, 0.3, 1.0, 0.90), (0.1, 0.3, 0.8, 0.85)
    safe, broken = (record(original, goal, (0.1, 0.3, 0.8, value)) for value in (0.821, 0.819))
    assert not destroyed([safe]) and destroyed([broken])
    assert judged([broken]) > DESTROYED > judged([safe])
    assert not destroyed([broken, record(original, goal, goal)])  # the mean over seeds counts


def test_without_an_accuracy_the_loss_tells_what_is_destroyed():
    original, goal = (0.18, 0.20), (0.20, 0.21)
    assert not destroyed([record(original, goal, (0.2, 0.26))])
    assert destroyed([record(original, goal, (0.2, 0.27))])
    assert distance(record(original, goal, (0.2, 0.42))) == pytest.approx(math.log(0.421 / 0.211))


# Trials -------------------------------------------------------------------------------------------


def test_the_budget_is_the_same_and_the_first_trial_changes_nothing():
    space = {SHARE: [0.1, 0.2, 0.5], "unlearning.epochs": [3, 5], "method.alpha": [1.0, 2.0, 5.0]}
    found = spread(read(space), 7)
    assert len(found) == 7 and found[0] == {} and found == spread(read(space), 7)
    assert all(set(trial) == set(space) for trial in found[1:])
    assert all(trial not in found[:place] for place, trial in enumerate(found))
    for name, values in space.items():  # every value comes equally often
        assert {trial[name] for trial in found[1:4]} <= set(values)
        assert sorted(trial[name] for trial in found[1:7]) == sorted(values * (6 // len(values)))


def test_no_more_trials_than_a_small_space_holds():
    assert len(spread(read({"method.ratio": [0.1, 0.2], SHARE: []}), 9)) == 3
    assert spread(read({SHARE: []}), 9) == []


def test_a_trial_is_what_the_command_line_takes():
    words = typed({SHARE: 0.05, "unlearning.epochs": 3, "method.redraw": "epoch"})
    (cell,) = Planner(DIRS).cells(["method=salun", "recipe=none", *words], multirun=False)
    assert cell.settings.unlearning.lr == pytest.approx(0.05 * cell.settings.training.lr)
    assert (cell.settings.unlearning.epochs, cell.resolved["method"]["redraw"]) == (3, "epoch")


@pytest.mark.parametrize("name", METHODS)
def test_every_value_of_a_search_space_is_accepted(name):
    loaded = OmegaConf.load(catalog.path_of("method", name, DIRS))
    base = OmegaConf.load(catalog.packaged_dir() / "run.yaml")
    for setting, values in loaded.get("search", {}).items():
        part, _, rest = setting.partition(".")
        assert part == "method" or setting in base.search, setting
        tried = read({setting: OmegaConf.to_container(OmegaConf.create({"of": values}))["of"]}).get(setting)
        for value in tried.ends if tried and part == "method" else ():
            assert OmegaConf.select(loaded.method, rest, throw_on_missing=True) is not None, setting
            changed = loaded.method.copy()
            OmegaConf.update(changed, rest, value)
            component(OmegaConf.to_container(changed), "method")


def test_what_might_be_tried_is_no_part_of_a_runs_fingerprint():
    one, other = (
        Planner(DIRS).cells([f"++search={space}"], multirun=False)[0].fingerprint
        for space in ("{unlearning.epochs: [1]}", "{unlearning.epochs: [2]}")
    )
    assert one == other


# Recipes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_of_a_method_that_is_there_and_sets_what_it_has(name):
    method, _, modality = name.rpartition("/")
    assert method in METHODS and modality in catalog.names("modality", DIRS)
    path = catalog.path_of("recipe", name, DIRS)
    recipe, own = OmegaConf.load(path), OmegaConf.load(catalog.path_of("method", method, DIRS))
    assert set(recipe) <= {"unlearning", "method"}
    assert set(recipe.get("unlearning", {})) <= {"lr", "epochs"}
    assert all(key in own.method for key in recipe.get("method", {}))
    merged = OmegaConf.to_container(OmegaConf.merge(own.method, recipe.get("method", {})))
    gives = component(OmegaConf.load(catalog.path_of("modality", modality, DIRS)), "modality").gives
    assert component(merged, "method").families & {"any", modality, *gives}
    header = catalog.header(path)
    assert header[0].startswith(f"{method} on {modality}: ")
    assert any(line.startswith(("python scripts/recipes.py ", "mubench search ")) for line in header)
    assert any("retrained" in line for line in header)


def twin(modality: str) -> str:
    """A small task of a modality."""
    return next(
        name for name in catalog.names("task", DIRS) if name.startswith("mini/")
        and OmegaConf.load(catalog.path_of("task", name, DIRS)).task.modality == modality
    )  # fmt: skip


@pytest.mark.parametrize("modality", sorted({name.rpartition("/")[2] for name in RECIPES}))
def test_a_recipe_is_used_by_default(modality):
    """Shown for a method of each modality, for composing all of them takes a minute."""
    name = next(n for n in RECIPES if n.endswith(f"/{modality}") and not n.startswith("unsir/"))
    words = [f"method={name.rpartition('/')[0]}", f"task={twin(modality)}"]
    (cell,) = Planner(DIRS).cells(words, multirun=False)
    recipe = OmegaConf.load(catalog.path_of("recipe", name, DIRS))
    wanted = OmegaConf.to_container(OmegaConf.merge(cell.resolved, recipe), resolve=True)
    assert wanted["method"] == cell.resolved["method"] and wanted["unlearning"] == cell.resolved["unlearning"]


def test_a_recipe_changes_the_fingerprint_what_is_typed_wins_and_none_is_the_methods_yaml(tmp_path):
    """For a method of one's own, with a recipe of its own."""
    (tmp_path / "method").mkdir()
    own = catalog.path_of("method", "neggrad", DIRS).read_text().replace("name: neggrad", "name: mine")
    (tmp_path / "method" / "mine.yaml").write_text(own)
    (tmp_path / "recipe" / "mine").mkdir(parents=True)
    recipe = "# @package _global_\n# Mine\nunlearning:\n  epochs: 77\n"
    (tmp_path / "recipe" / "mine" / "image.yaml").write_text(recipe)
    planner = Planner(catalog.config_dirs([tmp_path]))

    def cell(*words):
        return planner.cells(["method=mine", *words], multirun=False)[0]

    assert cell().settings.unlearning.epochs == 77
    assert cell("unlearning.epochs=3").settings.unlearning.epochs == 3
    assert cell("task=mini/imdb").settings.unlearning.epochs != 77
    assert cell("task=mini/imdb", "recipe=mine/image").settings.unlearning.epochs == 77
    assert cell("recipe=none").settings.unlearning.epochs == 5
    assert cell().fingerprint != cell("recipe=none").fingerprint


def test_recipes_are_listed_and_shown(cli):
    assert "none  " in cli("ls", "recipes").out
    assert cli("show", "recipe", "none").out.startswith("No recipe")


def test_a_method_names_the_recipes_that_change_it(cli, tmp_path):
    (tmp_path / "recipe" / "neggrad").mkdir(parents=True)
    (tmp_path / "recipe" / "neggrad" / "mine.yaml").write_text("# @package _global_\n# Mine\n")
    shown = cli("show", "method", "neggrad", f"--config-dir={tmp_path}").out
    assert "(mubench show recipe NAME): " in shown and "neggrad/mine" in shown
    assert "neggrad/mine" not in cli("show", "method", "neggrad_plus", f"--config-dir={tmp_path}").out


def test_the_script_searches_by_the_same_verb_and_prints_the_table(tmp_path):
    task = "task=digits " + " ".join(word for word in FAST if not word.startswith("unlearning"))
    task += " unlearning.clip=0.5"
    command = [sys.executable, SCRIPT, task, "--methods", "neggra?", "--trials", "2",
               "--out", tmp_path / "out", "--into", tmp_path / "mine"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "neggrad on digits: 2 trials" in done.stdout
    recipe = tmp_path / "mine" / "recipe" / "neggrad" / "image.yaml"
    found = OmegaConf.load(recipe).unlearning
    assert found.epochs in (3, 5, 8) and found.clip == 0.5  # what was typed belongs to what was found
    assert "digits: forget loss" in recipe.read_text()
    assert "\n# mubench search method=neggrad -m" in recipe.read_text()
    table = subprocess.run([*command[:2], "--table", *command[-2:]], capture_output=True, text=True)
    assert table.stdout.startswith("| method | image |\n|") and "| neggrad | 0." in table.stdout
