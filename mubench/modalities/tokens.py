"""Tokenizers: a checkpoint's own, or one learned from the training texts where there is no checkpoint."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from mubench.errors import UsageError
from mubench.extras import need
from mubench.fingerprint import folder_hash
from mubench.hub import reaching

SPECIAL = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]",
           "mask_token": "[MASK]", "bos_token": "[CLS]", "eos_token": "[SEP]"}  # fmt: skip
VOCABULARY = 2000  # of a learned tokenizer, where the model names no size


def identity(model: Mapping[str, Any]) -> dict[str, Any]:
    """What decides the token ids of a text: the hub's name or a folder's contents, or the size to learn."""
    place = model.get("tokenizer") or model.get("checkpoint")
    if place is None:
        return {"vocabulary": model.get("vocabulary", VOCABULARY)}
    return {"tokenizer": folder_hash(place) if Path(place).exists() else str(place)}


def learn(texts: Iterable[str], model: Mapping[str, Any], folder: Path) -> None:
    """Leave the tokenizer of a model in a folder.

    The model's node may name `tokenizer` (a hub id or folder; its checkpoint by default); without
    either, a WordPiece vocabulary of `vocabulary` tokens is learned from the texts.
    """
    place = model.get("tokenizer") or model.get("checkpoint")
    if place is None:
        wordpiece(texts, int(model.get("vocabulary", VOCABULARY))).save_pretrained(str(folder))
        return
    tokenizer = _published(place)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.save_pretrained(str(folder))


def _published(place: str) -> Any:
    """A tokenizer of the hub or a folder; UsageError if it cannot be had, or needs a package to be read."""
    from transformers import AutoTokenizer

    what = f"the tokenizer '{place}'"
    try:
        with reaching(f"{what} from the hub or a folder", "and pass model.tokenizer=PATH"):
            return AutoTokenizer.from_pretrained(place)
    except UsageError as error:
        # Without sentencepiece, transformers tries to read its files as tiktoken's, and says so.
        if any(word in str(error.__cause__) for word in ("tiktoken", "sentencepiece", "protobuf")):
            need(what, "sentencepiece", "google", extra="sentencepiece")
        raise


def wordpiece(texts: Iterable[str], vocabulary: int) -> Any:
    """A WordPiece tokenizer learned from texts; lower case, [CLS] before and [SEP] after a text."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    known = {piece: number for number, piece in enumerate(pieces(texts, vocabulary))}
    tokenizer = Tokenizer(models.WordPiece(known, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    tokenizer.add_special_tokens(list(dict.fromkeys(SPECIAL.values())))
    ends = [(name, known[name]) for name in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **SPECIAL)


def pieces(texts: Iterable[str], vocabulary: int) -> list[str]:
    """Special tokens, all letters, and the commonest parts of words, up to a size; the same for each process.

    The parts are those that byte-pair encoding merges. WordPiece's own trainer numbers and chooses them
    by the order of a hash table, which is another one in each process.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    begin = "\u2581"  # stands before each word
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Metaspace(replacement=begin), pre_tokenizers.Punctuation()]
    )
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=vocabulary, show_progress=False))
    numbers = tokenizer.get_vocab()
    found = [part for part in sorted(numbers, key=lambda part: numbers[part]) if part != begin]
    letters = [part for part in found if len(part) == 1]
    merged = [part[1:] if part.startswith(begin) else f"##{part}" for part in found if len(part) > 1]
    whole = [*SPECIAL.values(), *letters, *(f"##{letter}" for letter in letters), *merged]
    return list(dict.fromkeys(whole))[:vocabulary]


@lru_cache(maxsize=4)
def load(folder: Path) -> Any:
    """The tokenizer that `learn` left in a folder."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(str(folder))
