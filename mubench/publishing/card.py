"""The card of an unlearned model in the hub's format: what was forgotten, how, how well, at what cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from mubench.publishing import caveats, results
from mubench.publishing.saved import Saved
from mubench.publishing.sources import bibtex, described, formula, lines
from mubench.records import Record
from mubench.report.closing import compared
from mubench.submissions.public import tells

KEY = "machine-unlearning"
HUB = {"accuracy": "accuracy", "micro_f1": "f1", "rougeL": "rouge"}  # metrics that the hub knows, by ours
SETTINGS = ("deletion", "method", "unlearning", "adapter", "curriculum", "seed")
ADAPTED = """These files are updates of an original model that is not here: it remembers what was to be
forgotten, so to publish it would undo the work. `load` finds it in `outputs/`, or trains it again by the
settings in `config.yaml`."""


def card(saved: Saved, repository: str) -> str:
    """README.md of a model repository: metadata in YAML, then text."""
    record = saved.record
    parts = [
        f"# {title(record)}",
        _opening(record),
        "## What was forgotten\n\n" + _forgotten(record),
        "## How\n\n" + _how(record),
        "## Results\n\n" + results.table(record),
        "## Cost\n\n" + results.cost(record),
        "## What these numbers do not prove\n\n" + caveats.listed(record),
        "## Data and licence\n\n" + caveats.licence(record),
        "## How to load it\n\n" + _loading(saved, repository),
        "## Made with\n\n" + results.versions(record),
    ]
    return str(ModelCard(f"---\n{_data(record).to_yaml()}\n---\n\n" + "\n\n".join(parts) + "\n"))


def title(record: Record) -> str:
    """What the model is, in a few words."""
    key = record.key
    ratio = "" if key["ratio"] is None else f" {key['ratio']:g} %"
    return f"{key['model']} on {key['task']}, unlearned by {key['method']} ({key['deletion']}{ratio})"


def _data(record: Record) -> ModelCardData:
    """The metadata; hub names only where the settings name something of the hub."""
    key, task = record.key, record.config.get("task", {})
    tags = dict.fromkeys([KEY, "mubench", key["method"], key["modality"]])
    repository, base = task.get("repository"), record.config.get("model", {}).get("checkpoint")
    more: dict[str, Any] = {"datasets": [repository]} if repository else {}
    more |= {"base_model": base} if base and not tells(base) else {}
    return ModelCardData(
        model_name=title(record),
        library_name="mubench",
        license="unknown",
        tags=list(tags),
        metrics=list(_on_the_hub(line.metric for line in compared(record))) or None,
        eval_results=_evaluated(record, task) or None,
        **more,
    )


def _on_the_hub(names: Iterable[str]) -> dict[str, None]:
    """The hub's own metrics among these, by the names that it has for them, each once."""
    ends = [(name, end) for name in names for end in HUB if name.endswith(f"_{end}")]
    return dict.fromkeys(HUB[end] for _, end in ends)


def _evaluated(record: Record, task: Mapping[str, Any]) -> list[EvalResult]:
    """The unlearned model's headline numbers."""
    name, repository = record.key["task"], task.get("repository")
    config, revision = (task.get("config"), task.get("revision")) if repository else (None, None)
    return [
        EvalResult(
            task_type=KEY, task_name="Machine unlearning", dataset_type=repository or name.replace("/", "-"),
            dataset_name=name, metric_type=line.metric, metric_name=line.metric, metric_value=line.values[2],
            dataset_config=config, dataset_revision=revision,
        )
        for line in compared(record) if line.values[2] is not None
    ]  # fmt: skip


def _opening(record: Record) -> str:
    key, sizes = record.key, record.forget_set
    whole = sizes["size"] + sizes["retain"]
    return (
        f"A `{key['model']}` that was trained on all {whole:,} training examples of `{key['task']}`, and "
        f"from which the method `{key['method']}` was to remove the influence of {sizes['size']:,} of them. "
        "It was made by mubench, a benchmark of machine unlearning "
        "([MU-Bench](https://arxiv.org/abs/2406.14796)), for research."
    )


def _forgotten(record: Record) -> str:
    sizes, key = record.forget_set, record.key
    rows = {
        "examples forgotten": f"{sizes['size']:,}",
        "examples retained": f"{sizes['retain']:,}",
        "share": f"{sizes['percent']:.3g} % of the training set" if "percent" in sizes else "-",
        "chosen by": f"`{key['deletion']}`, seed {key['seed']['forget']}",
        "SHA-256 of their ids": f"`{sizes['sha256']}`",
    }
    return results.two_columns(rows) + "\n\nThe ids themselves are in no file here."


def _how(record: Record) -> str:
    name, target = record.key["method"], record.config.get("method", {}).get("_target_", "")
    told = [f"`{name}`: {described('method', name)}" if described("method", name) else f"`{name}`"]
    told += [f"It computes: {text}" for text in [formula(target)] if text]
    told += [f"- {line}" for line in lines(target)]
    settings = results.yaml({node: record.config[node] for node in SETTINGS if node in record.config})
    told.append(f"Settings (all of them stand in `config.yaml`):\n\n```yaml\n{settings}```")
    entries = bibtex(target)
    return "\n\n".join([*told, *([f"```bibtex\n{entries}\n```"] if entries else [])])


def _loading(saved: Saved, repository: str) -> str:
    files = ", ".join(f"`{name}`" for name in saved.weights)
    adapted = f"\n\n{ADAPTED}" if saved.record.key["adapter"] != "none" else ""
    return (
        f"The weights are in {files}; `config.yaml` describes the network. With mubench installed, and "
        "the task's data at hand:\n\n```python\nfrom huggingface_hub import snapshot_download\n"
        f'from mubench.unlearned import load\n\nmodel = load(snapshot_download("{repository}"))\n```{adapted}'
    )
