"""What holds for every attack on every family of models, whoever adds one."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest
import torch
from families import FAMILIES
from hydra.utils import get_class
from omegaconf import OmegaConf
from workbenches import family_bench, target_of

from mubench import catalog, citations, facts
from mubench.attacks.base import Attack
from mubench.attacks.campaign import digest

DIRS = catalog.config_dirs()
NAMES = catalog.names("attack", DIRS)
SHORT = {
    "relearn": {"steps": [1, 2], "lr": 1e-2, "batch_size": 4}, "noise": {"sigma": [0.5], "draws": 1},
    "connectivity": {"points": 3},
}  # fmt: skip
every = pytest.mark.parametrize("name", NAMES)


def attack_class(name: str) -> type[Attack]:
    return get_class(catalog.target(catalog.path_of("attack", name, DIRS)))


@every
def test_a_yaml_sets_exactly_the_fields_of_its_class(name):
    node = OmegaConf.load(catalog.path_of("attack", name, DIRS))
    declared = {field.name for field in dataclasses.fields(attack_class(name))}
    assert set(node) - {"_target_"} == declared and node["name"] == name
    assert catalog.describe("attack", name, DIRS)


@every
def test_it_says_what_it_does_and_after_which_papers_of_the_list(name):
    known = facts.of(catalog.target(catalog.path_of("attack", name, DIRS)))
    assert known.get("formula") and known.papers and set(known.papers) <= set(citations.papers())


@every
@pytest.mark.parametrize("family", FAMILIES)
def test_leaves_curves_and_every_model_as_it_was(name, family):
    target = target_of(family_bench(family))
    attack = attack_class(name)(name=name, examples=5, **SHORT.get(name, {}))
    networks = [target.network, *target.others.values()]
    before, drawn = [digest(network) for network in networks], torch.get_rng_state()
    found = attack.curves(target)
    assert [digest(network) for network in networks] == before and torch.equal(torch.get_rng_state(), drawn)
    assert not any(network.training for network in networks)
    assert found
    for series, columns in found.items():
        assert len({len(values) for values in columns.values()}) == 1, series
        assert "forget_loss" in columns
        for values in columns.values():
            assert all(value is None or math.isfinite(value) for value in values)
        assert None not in columns["forget_loss"]
        assert len(set(columns["forget_loss"])) > 1, series  # something was done
    assert json.loads(json.dumps(found)) == attack.curves(target)  # again, and as it is kept


@every
@pytest.mark.parametrize("role", ["original", "retrained"])
def test_is_made_on_the_other_models_too_and_without_a_retrained_one(name, role):
    target = target_of(family_bench("image"), role)
    attack = attack_class(name)(name=name, examples=5, **SHORT.get(name, {}))
    assert attack.curves(target)
    alone = dataclasses.replace(target, others={"original": target.others["original"]})
    assert attack.curves(alone)
