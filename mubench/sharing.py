"""What the processes of one command refuse to carry out together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mubench import processes
from mubench.config import RunConfig
from mubench.errors import NotApplicable, UsageError

if TYPE_CHECKING:
    from mubench.methods.base import Method


def check(config: RunConfig, method: Method) -> None:
    """UsageError or NotApplicable for what one process alone can do, where there are several."""
    if processes.launched() == 1:
        return
    name = f"method '{config.key['method']}'"
    if not method.divisible:
        raise NotApplicable(
            f"{name} works in one process: its loss is no mean over examples, which several could share"
        )
    if config.settings.trainer.compile:
        raise UsageError("trainer.compile=true works in one process")
    if processes.sharded():
        _check_shards(config, method, name)


def _check_shards(config: RunConfig, method: Method, name: str) -> None:
    """The same where each of them is to hold a part of every weight."""
    from mubench.optimization import elementwise

    if not method.shardable:
        raise NotApplicable(
            f"{name} reads or sets whole weights or gradients, of which each process has a part under "
            "--use_fsdp; --multi_gpu shares out its work (docs/processes.md)"
        )
    for recipe in (config.settings.training, config.settings.unlearning):
        if not elementwise(recipe):
            raise UsageError(
                f"optimizer '{recipe.optimizer.get('name')}' is not known to move each number of a weight by "
                "its own gradients alone, and each process has a part of them under --use_fsdp"
            )
