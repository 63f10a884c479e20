"""The process that speaks to W&B for a run: acts come as JSON lines, and end when the run's process does."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from mubench import records
from mubench.config import outputs_of
from mubench.records import Record
from mubench.tracking import contents, reach
from mubench.tracking.kept import Kept, of_run
from mubench.tracking.weights_and_biases import WeightsAndBiases

Say = Callable[[str, str], object]  # kind of reply (said, warned, done, failed) and its text
KILLED = 137  # the exit status of a run that was killed, for a session that is told no more
STAGING = "WANDB_DATA_DIR"  # where W&B copies what it will upload; by itself into the user's home
# What W&B would do beside what it is told: watch the terminal, the machine, the code and the checkout.
QUIET = {
    "silent": True, "console": "off", "disable_git": True, "disable_code": True, "save_code": False,
    "host": "", "symlink": False, "use_dot_wandb": False, "x_disable_stats": True, "x_disable_meta": True,
    "x_disable_machine_info": True, "x_save_requirements": False,
}  # fmt: skip


class Session:
    """One W&B run after another, each begun and finished by what it is told."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._run: Any = None
        self._stages: set[str] = set()

    def begin(self, settings: Mapping[str, Any], record: Mapping[str, Any], folder: str) -> None:
        """Begin a W&B run; offline if that is asked for, or if the server is out of reach."""
        self._settings, self._record = WeightsAndBiases(**settings), Record(**record)
        self._folder, self._stages = Path(folder), set()
        out = outputs_of(self._folder, self._record.key)
        out.joinpath("wandb").mkdir(exist_ok=True)  # W&B would turn to another folder if it could not
        os.environ.setdefault(STAGING, str(out / "wandb"))
        reach.silenced()
        why: str | None = None
        if self._settings.mode != "online":
            why = "mode=offline" if self._settings.mode == "offline" else reach.why_not()
        why = why or self._go_online(out)
        if why:
            self._open(out, "offline")
        where = f"offline in {self._kept.folder} ({why}): mubench sync uploads it" if why else self._run.url
        self._say("said", f"  W&B: {where}")

    def _go_online(self, out: Path) -> str | None:
        """Begin on the server; why not, where it fails."""
        import wandb

        run_id = contents.run_id(self._record)
        before = of_run(out, run_id)
        try:
            wandb.login(prompt=False, verify=False)
            self._open(out, "online")
        except Exception as error:
            self._say("warned", f"W&B cannot be reached: {_sentence(error)}")
            wandb.teardown()  # else W&B takes the run for one that is at work
            for kept in set(of_run(out, run_id)) - set(before):
                shutil.rmtree(kept.folder)
            reach.silenced()
            return "out of reach"
        return None

    def _open(self, out: Path, mode: Literal["online", "offline"]) -> None:
        import wandb

        settings, record = self._settings, self._record
        known = wandb.Settings.model_fields  # a later W&B may have fewer
        patient = {"init_timeout": settings.patience, "finish_timeout": settings.patience}
        wanted: dict[str, Any] = {**QUIET, **patient, "finish_timeout_raises": True}
        self._run = wandb.init(
            project=settings.project,
            entity=settings.entity,
            group=settings.group or contents.cell(record),
            name=contents.title(record),
            job_type=record.key["method"],
            tags=list(dict.fromkeys([*contents.tags(record), *settings.tags])),
            config=contents.config(record),
            id=contents.run_id(record),
            resume="allow",
            reinit="create_new",
            dir=out,
            mode=mode,
            settings=wandb.Settings(**{name: value for name, value in wanted.items() if name in known}),
        )

    @property
    def _kept(self) -> Kept:
        """What W&B writes on disk."""
        return Kept(Path(self._run.dir).parent)

    def epoch(self, line: Mapping[str, Any]) -> None:
        """A point of a stage's curves, over its epochs."""
        stage = line["stage"]
        if stage not in self._stages:
            self._run.define_metric(f"{stage}/*", step_metric=f"{stage}/epoch")
            self._stages.add(stage)
        self._run.log(contents.epoch(line))

    def finish(self) -> None:
        """Final numbers, tables and files; the folder is sealed once W&B has taken everything."""
        record = records.read(self._folder)
        if record is None:
            raise RuntimeError(f"there is no record in {self._folder}")
        self._run.config.update(contents.facts(record), allow_val_change=True)
        self._run.summary.update(contents.summary(record))
        self._tell_tables(record)
        if self._settings.artifact:
            self._tell_files(record)
        kept, online = self._kept, not self._run.offline
        self.end(0 if record.complete else 1)
        if not any(kept.folder.glob("*.wandb")):
            raise RuntimeError(f"W&B has left nothing in {kept.folder}")
        kept.seal(record, self._folder, online)

    def end(self, status: int = KILLED) -> None:
        """End what is at work, if anything is."""
        run, self._run = self._run, None
        if run is not None:
            run.finish(exit_code=status)

    def _tell_tables(self, record: Record) -> None:
        import wandb

        tables = {
            "closing_table": (contents.CLOSING, contents.closing(record)),
            "curves": (contents.CURVES, contents.curves(records.curves(self._folder))),
        }
        for name, (columns, rows) in tables.items():
            if rows:
                self._run.log({name: wandb.Table(columns=list(columns), data=rows)})

    def _tell_files(self, record: Record) -> None:
        """Files as they lie in the run's directory, not copied."""
        import wandb

        files = wandb.Artifact(f"run-{contents.run_id(record)}", type="run", metadata=dict(record.key))
        for name in contents.files(record, self._folder):
            files.add_file(str(self._folder / name), name=name, policy="immutable")
        self._run.log_artifact(files)


def serve(words: Iterable[str], say: Say) -> None:
    """Do act after act; what fails is told, and nothing more is done."""
    session = Session(say)
    try:
        for line in words:
            what = json.loads(line)
            act = what.pop("act")
            getattr(session, act)(**what)
            say("done", act)
    except Exception as error:
        say("failed", _sentence(error))
    session.end()


def _sentence(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def main() -> None:
    """Speak over what was standard output, which W&B and others may write to as they like."""
    replies = os.dup(sys.stdout.fileno())
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    def say(kind: str, text: str) -> None:
        with suppress(OSError):  # nobody listens any more: the run was killed
            os.write(replies, (json.dumps({"kind": kind, "text": text}) + "\n").encode())

    serve(sys.stdin, say)


if __name__ == "__main__":
    main()
