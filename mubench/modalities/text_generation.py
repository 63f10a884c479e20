"""Texts that answer a prompt: token by token, by a decoder alone or by one behind an encoder."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mubench import divergence
from mubench.data import Batch
from mubench.errors import UsageError
from mubench.modalities import answering, signals, token_ids, tokens
from mubench.modalities.base import BrokenRow, Fields
from mubench.modalities.refusals import REFUSALS
from mubench.modalities.signals import Signal
from mubench.modalities.token_ids import IGNORED
from mubench.modalities.token_labels import TokenLabels
from mubench.schema import one_of

KIND = "generation.json"  # beside the tokenizer: whether an encoder reads the prompt


@dataclass(frozen=True)
class GenerationSpec:
    """What a network must be built for, and what decodes its tokens."""

    encoder: str  # the folder that `learn` filled
    special: Mapping[str, int]  # ids by the names of transformers' configs: pad_token_id, eos_token_id ...
    vocabulary: int
    longest: int  # prompt and answer together, in tokens


@dataclass
class TextGeneration(TokenLabels):
    """Scores (B, T, V) of the tokens of an answer, targets (B, T) int64 padded with -100.

    T is the longest answer of a batch, at most `max_answer`. The loss, the errors and the divergence
    are means over an example's label tokens: its answer and the token that ends it, never the prompt.
    """

    template: str = "{prompt}"  # what models read; what stands behind {prompt} comes before the answer
    separator: str = " "  # between prompt and answer, for a decoder alone
    max_prompt: int = 256  # in tokens; a longer prompt loses its end, not the template's
    max_answer: int = 64  # in tokens, the one that ends it among them

    fields: ClassVar[tuple[str, ...]] = ("prompt", "answer")
    gives: ClassVar[frozenset[str]] = frozenset({"losses", "tokens", "texts", "gradients"})

    def __post_init__(self) -> None:
        one_of("modality.augment", self.augment, ("none",))
        if self.template.count("{prompt}") != 1:
            raise UsageError(f"modality.template='{self.template}' must hold {{prompt}} once")
        for setting in ("max_prompt", "max_answer"):
            if getattr(self, setting) < 2:
                raise UsageError(f"modality.{setting}={getattr(self, setting)} leaves no room for a text")

    # Encoding ---------------------------------------------------------------------------------

    def encoder(self, model: Mapping[str, Any]) -> dict[str, Any]:
        """The tokenizer, the kind of model, and how texts are put together and cut."""
        settings = {
            name: getattr(self, name) for name in ("template", "separator", "max_prompt", "max_answer")
        }
        kind = {"encoder_decoder": encoder_decoder(model)}
        return {**super().encoder(model), **tokens.identity(model), **kind, **settings}

    def learn(self, train: Fields, model: Mapping[str, Any], folder: Path) -> None:
        """The model's tokenizer, or one learned from the training prompts and answers."""
        # A row without a text is named when it is encoded.
        prompts = (self._filled(prompt) for prompt in train["prompt"] if isinstance(prompt, str))
        answers = (answer for answer in train["answer"] if isinstance(answer, str))
        tokens.learn((text for part in (prompts, answers) for text in part), model, folder)
        (folder / KIND).write_text(json.dumps({"encoder_decoder": encoder_decoder(model)}))
        longest, most = self.max_prompt + self.max_answer, tokens.load(folder).model_max_length
        if longest > most and not encoder_decoder(model):
            raise UsageError(
                f"modality.max_prompt and max_answer make {longest} tokens: model '{model.get('name')}' "
                f"takes {most}"
            )

    def encode(self, rows: Fields, folder: Path) -> dict[str, Tensor]:
        """{"prompt_ids": (n, P) int32, "prompt_mask": (n, P) bool, "compressed": (n,), "targets": (n, A)}.

        P and A are `max_prompt` and `max_answer`, targets are int64. Prompts are padded on the left for a
        decoder alone, so that every answer starts in one column, and on the right for an encoder.
        `compressed` are bytes of the answer's text, as its label tokens spell it, compressed by zlib.
        """
        whole = token_ids.texts(rows["prompt"], "prompt"), token_ids.texts(rows["answer"], "answer")
        tokenizer, left = tokens.load(folder), not _kind(folder)
        prompts = self._prompts(tokenizer, whole[0], left)
        ids = token_ids.padded(prompts, self.max_prompt, tokenizer.pad_token_id, left).to(torch.int32)
        mask = token_ids.padded([[1] * len(row) for row in prompts], self.max_prompt, 0, left).bool()
        targets = self.answers(whole[1], folder)
        spelt = _decoded(tokenizer, [row[row != IGNORED] for row in targets])
        compressed = torch.tensor([len(zlib.compress(text.encode())) for text in spelt], dtype=torch.int32)
        return {"prompt_ids": ids, "prompt_mask": mask, "compressed": compressed, "targets": targets}

    def answers(self, texts: Sequence[str], folder: Path) -> Tensor:
        """Label tokens (n, max_answer) int64 of answers, each ended, padded with -100."""
        tokenizer = tokens.load(folder)
        found = token_ids.answers(tokenizer, texts, *self._joint(folder))
        short = [[*row[: self.max_answer - 1], tokenizer.eos_token_id] for row in found]
        return token_ids.padded(short, self.max_answer, IGNORED, left=False)

    def _joint(self, folder: Path) -> tuple[str, str]:
        """What stands before every answer in one text with it, and the separator; nothing for a decoder
        that only sees what its encoder makes of the prompt."""
        return ("", "") if _kind(folder) else (self.template.split("{prompt}")[1], self.separator)

    def _filled(self, prompt: str) -> str:
        return self.template.replace("{prompt}", prompt)

    def _prompts(self, tokenizer: Any, prompts: Sequence[str], open_ended: bool) -> list[list[int]]:
        """Token ids of every filled template; an answer can follow where it is `open_ended`."""

        def tokenise(text: str) -> list[int]:
            ids: list[int] = tokenizer(self._filled(text))["input_ids"]
            return ids[:-1] if open_ended and ids[-1:] == [tokenizer.eos_token_id] else ids

        found = []
        for place, prompt in enumerate(prompts):
            ids, shorter = tokenise(prompt), prompt
            while len(ids) > self.max_prompt and shorter:
                shorter = token_ids.without_end(tokenizer, shorter, len(ids) - self.max_prompt)
                ids = tokenise(shorter)
            if not shorter:
                raise BrokenRow(place, f"max_prompt={self.max_prompt} has no room for the template alone")
            found.append(ids)
        return found

    def facts(self, train: Mapping[str, Tensor], folder: Path) -> dict[str, Any]:
        """The number of tokens, and the ids of those that pad, begin and end a text."""
        tokenizer = tokens.load(folder)
        special = {
            f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("pad", "bos", "eos")
        }
        return {
            "vocabulary": len(tokenizer),
            "special": {name: number for name, number in special.items() if number is not None},
        }

    # Models -----------------------------------------------------------------------------------

    def expects(self, model: Mapping[str, Any], facts: Mapping[str, Any]) -> GenerationSpec:
        """The tokenizer, and how long texts are."""
        longest = self.max_prompt + self.max_answer
        return GenerationSpec(facts["encoder"], facts["special"], facts["vocabulary"], longest)

    def shape(self, expected: GenerationSpec) -> dict[str, int]:
        """Tokens, the special ones among them, and positions; a decoder starts from padding."""
        start = {"decoder_start_token_id": expected.special["pad_token_id"]}
        sizes = {"vocab_size": expected.vocabulary, "max_position_embeddings": expected.longest}
        return {**sizes, **expected.special, **start}

    @property
    def remembers(self) -> bool:
        """Scores of every token of a vocabulary are too many to keep."""
        return False

    def prepare(self, batch: Batch, expected: GenerationSpec, generator: torch.Generator | None) -> Batch:
        """Prompts (B, P) int64 without the columns that pad all of them.

        What else is stored stays only where nothing is trained.
        """
        mask = batch.inputs["prompt_mask"].bool()
        used = mask.any(dim=0).nonzero()
        columns = slice(int(used[0]), int(used[-1]) + 1)
        ids = batch.inputs["prompt_ids"][:, columns].long()
        more = batch.inputs if generator is None else {}
        return replace(batch, inputs={**more, "prompt_ids": ids, "prompt_mask": mask[:, columns].long()})

    def trimmed(self, batch: Batch) -> Batch:
        """Targets without the columns that pad all of them."""
        return replace(batch, targets=batch.targets[:, : token_ids.width(batch.targets)])

    def scores(self, model: nn.Module, batch: Batch) -> Tensor:
        """Scores (B, T, V) at the places that predict the batch's targets, which the model is shown."""
        prompts, mask = batch.inputs["prompt_ids"], batch.inputs["prompt_mask"]
        return answering.scores(model, prompts, mask, batch.targets)

    def signal(self, model: nn.Module, batch: Batch) -> Signal:
        """The embeddings (B, P, D) of the prompts' tokens."""
        words = signals.words(model)(batch.inputs["prompt_ids"])
        return signals.of(words, batch.inputs["prompt_mask"][..., None])

    def logits_at(self, model: nn.Module, batch: Batch, values: Tensor) -> Tensor:
        """The scores where the prompts' tokens have these embeddings."""
        with signals.heard(model, values):
            return self.logits(model, batch)

    def own(self, model: nn.Module, batch: Batch, part: nn.Module) -> Tensor | None:
        """The tokens of prompt and answer that the part sees and that are not padding."""
        return answering.seen(model, batch.inputs["prompt_mask"], self.trimmed(batch).targets, part)

    # Random targets ---------------------------------------------------------------------------

    def refusals(self, expected: GenerationSpec) -> Tensor:
        """Label tokens (R, max_answer) of the shipped refusals; long ones are cut as answers are."""
        return self.answers(REFUSALS, Path(expected.encoder))

    # Predictions ------------------------------------------------------------------------------

    def predictions(self, logits: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Of each label token its log-probability, that of a drawn token in the mean, and the likeliest one.

        Also the standard deviation of a drawn token's log-probability; 0 where padded, -100 of tokens.
        """
        targets = batch.targets
        padding = (0, targets.shape[1] - logits.shape[1])
        labels = targets[:, : logits.shape[1]]
        scores = logits.float()
        picked = scores.gather(-1, labels.clamp_min(0)[..., None])[..., 0] - scores.logsumexp(-1)
        log_probs = picked.masked_fill(labels == IGNORED, 0)
        guesses = scores.argmax(-1).masked_fill(labels == IGNORED, IGNORED)
        expected, deviation = divergence.log_prob_moments(logits, labels != IGNORED)
        return {
            "targets": targets,
            "log_probs": F.pad(log_probs, padding),
            "expected_log_probs": F.pad(expected, padding),
            "sd_log_probs": F.pad(deviation, padding),
            "guesses": F.pad(guesses, padding, value=IGNORED),
            "compressed": batch.inputs["compressed"],
        }

    def generate(
        self, model: nn.Module, batch: Batch, expected: GenerationSpec, generator: torch.Generator
    ) -> dict[str, Any]:
        """`texts` that the model writes greedily after each prompt, and the true `references`."""
        tokenizer = tokens.load(Path(expected.encoder))
        prompts, mask = batch.inputs["prompt_ids"], batch.inputs["prompt_mask"]
        new = answering.write(model, prompts, mask, expected.special, batch.targets.shape[1])
        true = [row[row != IGNORED] for row in batch.targets]
        return {"texts": _decoded(tokenizer, new), "references": _decoded(tokenizer, true)}


def encoder_decoder(model: Mapping[str, Any]) -> bool:
    """Whether a config's model node names a class with an encoder of its own for the prompt."""
    auto = str(model.get("build", {}).get("auto", ""))
    return "Seq2Seq" in auto or "ConditionalGeneration" in auto


def _kind(folder: Path) -> bool:
    return bool(json.loads((folder / KIND).read_text())["encoder_decoder"])


def _decoded(tokenizer: Any, rows: Any) -> tuple[str, ...]:
    return tuple(text.strip() for text in tokenizer.batch_decode(rows, skip_special_tokens=True))
