"""Text-to-image diffusion of diffusers: a checkpoint in its folder layout, or tiny parts at random."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from mubench.errors import UsageError
from mubench.hub import reaching

PARTS = ("unet", "text_encoder", "vae", "scheduler")  # subfolders of a checkpoint, the tokenizer beside
CONFIGS = {"scheduler": "scheduler_config.json"}  # the others' are config.json


class TextToImage(nn.Module):
    """A denoiser of latents or pixels that reads a prompt, with its noise schedule.

    Parts that do not train keep their weights and stay in evaluation mode: with a checkpoint the text
    encoder and the autoencoder (`vae`, None where the denoiser works on pixels).
    """

    alphas: Tensor  # (T,) share of the picture's variance that is left at each step

    def __init__(
        self, unet: nn.Module, text_encoder: nn.Module, vae: nn.Module | None, alphas: Tensor
    ) -> None:
        super().__init__()
        self.unet, self.text_encoder, self.vae = unet, text_encoder, vae
        self.register_buffer("alphas", alphas)

    def freeze(self) -> TextToImage:
        """Let only the denoiser train."""
        for part in (self.text_encoder, self.vae):
            if part is not None:
                part.requires_grad_(False)
        return self

    def train(self, mode: bool = True) -> TextToImage:
        """Training or evaluation mode; frozen parts remain in evaluation mode."""
        super().train(mode)
        for part in self.children():
            if not any(weight.requires_grad for weight in part.parameters()):
                part.eval()
        return self

    def forward(self, noisy: Tensor, steps: Tensor, input_ids: Tensor) -> Tensor:
        """The noise in latents (N, C, h, w) at steps (N,) of T, under prompts (B, L); B divides N."""
        states = self.text_encoder(input_ids).last_hidden_state
        states = states.repeat_interleave(len(noisy) // len(states), dim=0)
        noise: Tensor = self.unet(noisy, steps, encoder_hidden_states=states).sample
        return noise

    def pictures(self, latents: Tensor) -> Tensor:
        """Pixels (B, 3, H, W) in [0, 1] of latents (B, C, h, w), or of pixels in [-1, 1]."""
        vae: Any = self.vae
        if vae is not None:
            latents = vae.decode(latents / vae.config.scaling_factor).sample
        return (latents.float() / 2 + 0.5).clamp(0, 1)


def pretrained(architecture: str, checkpoint: str | None, **_: int) -> nn.Module:
    """A checkpoint of the hub or a folder, of which the UNet trains; fresh weights without one."""
    configs = {part: settings(architecture, part) for part in PARTS}
    alphas = schedule(configs["scheduler"] or {})
    with reaching(f"model '{architecture}' from the hub or a folder", "and pass model.checkpoint=PATH"):
        if checkpoint is None:
            model = fresh(configs["unet"] or {}, configs["text_encoder"] or {}, configs["vae"], alphas)
        else:
            model = _load(checkpoint, configs["vae"] is not None, alphas)
    return model.freeze()


def from_config(
    unet: Mapping[str, Any],
    text_encoder: Mapping[str, Any],
    scheduler: Mapping[str, Any],
    vocab_size: int,
    length: int,
    **_: int,
) -> nn.Module:
    """Tiny parts at random that denoise pixels; the text encoder trains too."""
    text = {**text_encoder, "vocab_size": vocab_size, "max_position_embeddings": length}
    ends = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}  # none is looked at: no pooling
    return fresh({"in_channels": 3, "out_channels": 3, **unet}, {**text, **ends}, None, schedule(scheduler))


def fresh(
    unet: Mapping[str, Any], text_encoder: Mapping[str, Any], vae: Mapping[str, Any] | None, alphas: Tensor
) -> TextToImage:
    """Parts of these configs with every parameter drawn from torch's global generator."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    text = CLIPTextModel(CLIPTextConfig(**text_encoder))
    decoder = None if vae is None else AutoencoderKL.from_config(dict(vae))
    return TextToImage(UNet2DConditionModel.from_config(dict(unet)), text, decoder, alphas)


def _load(checkpoint: str, latent: bool, alphas: Tensor) -> TextToImage:
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextModel

    def part(kind: Any, name: str) -> Any:
        return kind.from_pretrained(checkpoint, subfolder=name, use_safetensors=True)

    vae = part(AutoencoderKL, "vae") if latent else None
    text = part(CLIPTextModel, "text_encoder")
    return TextToImage(part(UNet2DConditionModel, "unet"), text, vae, alphas).float()


def settings(place: str, part: str) -> dict[str, Any] | None:
    """The config of a checkpoint's part; None where a local checkpoint has no such part."""
    from huggingface_hub import hf_hub_download

    name = f"{part}/{CONFIGS.get(part, 'config.json')}"
    local = Path(place).is_dir()
    if local and not Path(place, name).is_file():
        return None
    with reaching(f"model '{place}' from the hub or a folder", "and pass model.checkpoint=PATH"):
        path = Path(place, name) if local else Path(hf_hub_download(place, name))
        found: dict[str, Any] = json.loads(path.read_text())
    return found


def schedule(config: Mapping[str, Any]) -> Tensor:
    """The share of the picture's variance left at each of T steps, (T,), as the scheduler's config says.

    UsageError unless the model predicts the noise.
    """
    from diffusers import DDPMScheduler

    kind = config.get("prediction_type", "epsilon")
    if kind != "epsilon":
        raise UsageError(
            f"the model predicts '{kind}'; text_to_image needs one that predicts the noise (epsilon)"
        )
    names = ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas")
    known = {name: config[name] for name in names if config.get(name) is not None}
    alphas: Tensor = DDPMScheduler(**known).alphas_cumprod
    return alphas.float()
