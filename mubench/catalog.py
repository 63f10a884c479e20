"""Names in the configuration folders, their one-line descriptions, and the nearest right name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.metadata import entry_points
from importlib.resources import files
from pathlib import Path

from mubench.errors import UsageError, did_you_mean

GROUPS = (
    "task", "modality", "model", "method", "recipe", "deletion", "adapter", "curriculum", "optimizer",
    "evaluation", "attack", "tracking", "sweep", "hydra/launcher",
)  # fmt: skip


@cache
def packaged_dir() -> Path:
    """The configs that come with mubench: beside the package in a checkout, inside it in a wheel."""
    package = Path(__file__).parent
    beside, inside = package.parent / "configs", package / "configs"
    return inside if inside.is_dir() else beside


@cache
def installed_dirs() -> tuple[Path, ...]:
    """Folders that other installed packages add by the entry point group `mubench.configs`."""
    found = entry_points(group="mubench.configs")
    return tuple(Path(str(files(point.value))) for point in found)


def plural(group: str) -> str:
    """The kind that `mubench ls` knows a group by: methods, modalities, curricula, tracking."""
    group = group.removeprefix("hydra/")
    if group.endswith("um"):
        return f"{group[:-2]}a"
    if group.endswith("ing"):
        return group
    return f"{group[:-1]}ies" if group.endswith("y") else f"{group}s"


def config_dirs(extra: Iterable[str | Path] = ()) -> list[Path]:
    """Every folder searched for configs, the user's own first; UsageError for one that is missing.

    Of several yamls of one name the first is taken, here as in what a run composes.
    """
    mine = [Path(folder).absolute() for folder in extra]
    for folder in mine:
        if not folder.is_dir():
            raise UsageError(f"--config-dir {folder}: there is no such folder")
    return [*mine, *installed_dirs(), packaged_dir()]


def names(group: str, dirs: Sequence[Path]) -> list[str]:
    """The choices of a config group, such as 'digits' or 'mini/cifar100', sorted."""
    found = {
        path.relative_to(folder / group).with_suffix("").as_posix()
        for folder in dirs
        for path in (folder / group).rglob("*.yaml")
    }
    return sorted(found, key=lambda name: (name.count("/"), name))


def path_of(group: str, name: str, dirs: Sequence[Path]) -> Path:
    """The yaml of one choice; UsageError with the nearest name where there is none."""
    for folder in dirs:
        if (path := folder / group / f"{name}.yaml").is_file():
            return path
    known = names(group, dirs)
    if not known and not any((folder / group).is_dir() for folder in dirs):
        raise UsageError(f"unknown kind '{group}'.{did_you_mean(group, GROUPS)} (mubench ls)")
    hint = did_you_mean(name, known)
    raise UsageError(f"unknown {group} '{name}'.{hint} (mubench ls {plural(group)})")


def replaced(choices: Mapping[str, str | None], dirs: Sequence[Path]) -> list[str]:
    """What a run takes instead of mubench's own yamls, a sentence each; `choices`: names by group[@node]."""
    own, told = packaged_dir(), []
    for group, name in dict.fromkeys((at.split("@")[0], name) for at, name in choices.items()):
        file, recipe = Path(group, f"{name}.yaml"), Path("recipe", f"{choices.get('recipe')}.yaml")
        if _first(file, dirs) == own or not (own / file).is_file():
            continue
        told.append(f"{group} {name} from {_first(file, dirs) / file}, not mubench's own".strip())
        if group == "method" and recipe.parent.name == name and _first(recipe, dirs) == own:
            told.append(
                f"recipe {choices['recipe']} is mubench's own and changes it (recipe=none leaves it out)"
            )
    return told


def _first(file: Path, dirs: Sequence[Path]) -> Path:
    """The folder that a yaml is read from; the last where none has it."""
    return next((at for at in dirs if (at / file).is_file()), dirs[-1])


def header(path: Path) -> list[str]:
    """The comment lines that open a yaml, without the `@package` line: its documentation."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        if not re.match(r"#\s*@package", line):
            lines.append(line.lstrip("# ").rstrip())
    return lines


def target(path: Path) -> str:
    """The dotted name that a yaml's `_target_` gives to its component; "" without one."""
    found = re.search(r"^ *_target_: *([\w.]+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    return found[1] if found else ""


def describe(group: str, name: str, dirs: Sequence[Path]) -> str:
    """What one choice is, in a line: the first comment line of its yaml."""
    lines = header(path_of(group, name, dirs))
    return lines[0] if lines else ""
