"""ViLT for two pictures and a sentence (Kim et al., 2021), from any checkpoint of the family."""

from __future__ import annotations

from collections.abc import Mapping
from types import MethodType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mubench.networks import pretrained as transformers_family

NETWORK = "ViltForImagesAndTextClassification"
PAIR = {"num_images": 2}
TYPES = 3  # what a token belongs to: the text, the first picture, the second
WHOLE = {**PAIR, "modality_type_vocab_size": TYPES}


def pretrained(
    classes: int,
    architecture: str,
    checkpoint: str | None,
    whole: bool = False,
    image_size: int | None = None,
    **_: int,
) -> nn.Module:
    """The weights of a checkpoint under a head for `classes`; fresh weights if there is no checkpoint.

    A checkpoint that knows one picture, such as that of masked language modelling, has its picture
    type copied for the second, as the paper does; if `whole`, it must know two and have such a head.
    """
    model = transformers_family.pretrained(
        NETWORK,
        classes,
        architecture,
        checkpoint,
        whole,
        image_size=image_size,
        settings=WHOLE if whole else PAIR,
    )
    return _whole_pictures(_with_second_picture(model))


def from_config(classes: int, dimensions: Mapping[str, Any], **shape: int) -> nn.Module:
    """A freshly initialised ViLT of any dimensions."""
    model = transformers_family.from_config(NETWORK, classes, "vilt", {**dimensions, **WHOLE}, **shape)
    return _whole_pictures(model)


def _with_second_picture(model: Any) -> nn.Module:
    embeddings = model.vilt.embeddings
    known = embeddings.token_type_embeddings.weight.detach()
    if len(known) < TYPES:
        rows = [*range(len(known)), *[len(known) - 1] * (TYPES - len(known))]
        embeddings.token_type_embeddings = nn.Embedding.from_pretrained(known[rows].clone(), freeze=False)
        model.config.modality_type_vocab_size = TYPES
    result: nn.Module = model
    return result


def _whole_pictures(model: Any) -> nn.Module:
    embeddings = model.vilt.embeddings
    embeddings.visual_embed = MethodType(visual_embed, embeddings)
    model.features = MethodType(features, model)
    result: nn.Module = model
    return result


def visual_embed(self: Any, pixel_values: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor, None]:
    """Embeddings of pictures (B, C, H, W) that fill their square, (B, 1 + patches, D), and their mask.

    Takes the place of the library's, which shuffles the patches of each picture in a loop over the
    batch, by torch's global generator, to make room for padding: here there is none, and the order
    of patches does not matter.
    """
    patches = self.patch_embeddings(pixel_values)  # (B, D, h, w)
    side = self.config.image_size // self.config.patch_size
    places = self.position_embeddings[:, 1:].transpose(1, 2).unflatten(2, (side, side))
    if patches.shape[-2:] != (side, side):
        places = F.interpolate(places, patches.shape[-2:], mode="bilinear", align_corners=True)
    places = torch.cat([self.position_embeddings[:, :1], places.flatten(2).transpose(1, 2)], dim=1)
    start = self.cls_token.expand(len(patches), -1, -1)
    embedded = torch.cat([start, patches.flatten(2).transpose(1, 2)], dim=1) + places
    mask = torch.ones(embedded.shape[:2], dtype=torch.long, device=embedded.device)
    return self.dropout(embedded), mask, None


def features(
    self: Any, pixel_values: Tensor, input_ids: Tensor, attention_mask: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """What the network makes of the text alone, of the pictures alone, and of both together.

    (B, T, D) and (B, 2, 1 + patches, D): its embeddings, the last place where a network of one stream
    keeps its inputs apart, padding zeroed. (B, 2 D): what its head reads.
    """
    embeddings, fused = self.vilt.embeddings, []
    text = embeddings.text_embeddings(input_ids) * attention_mask[..., None]
    seen, _, _ = embeddings.visual_embed(pixel_values.flatten(0, 1))
    hook = self.classifier.register_forward_pre_hook(lambda _module, inputs: fused.append(inputs[0]))
    try:
        self(pixel_values=pixel_values, input_ids=input_ids, attention_mask=attention_mask)
    finally:
        hook.remove()
    return text, seen.unflatten(0, pixel_values.shape[:2]), fused[0]
