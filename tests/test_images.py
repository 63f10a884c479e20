"""Images: encoded once, prepared for a model, augmented as a batch."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image as Pillow

from mubench import divergence
from mubench.data import Batch
from mubench.errors import UsageError
from mubench.modalities.augment import crop_flip, shift
from mubench.modalities.base import BrokenRow
from mubench.modalities.image import Image, InputSpec


def batch(pixels: torch.Tensor) -> Batch:
    return Batch(
        {"pixel_values": pixels}, torch.zeros(len(pixels), dtype=torch.long), torch.arange(len(pixels))
    )


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_arrays_and_pictures_become_the_same_columns():
    array = np.random.default_rng(0).integers(0, 256, (3, 5, 5, 3), dtype=np.uint8)
    pictures = [Pillow.fromarray(pixels) for pixels in array]
    first, second = (
        Image("image").encode({"image": raw}, Path())["pixel_values"] for raw in (array, pictures)
    )
    assert first.shape == (3, 3, 5, 5) and first.dtype == torch.uint8
    assert torch.equal(first, second)
    with pytest.raises(BrokenRow, match="the image is 4x5 pixels, others are 5x5") as error:
        Image("image").encode({"image": [pictures[0], Pillow.fromarray(array[0][:, :4])]}, Path())
    assert error.value.place == 1


def test_pixels_are_normalised_by_channel():
    pixels = torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1)
    prepared = Image("image").prepare(batch(pixels), InputSpec(1, (0.5,), (0.25,)), None)
    assert prepared.inputs["pixel_values"].flatten().tolist() == [-2.0, 2.0]


def test_images_are_resized_and_grey_ones_get_a_colour_models_channels():
    pixels = torch.randint(0, 256, (2, 1, 8, 8), dtype=torch.uint8, generator=generator())
    prepared = Image("image").prepare(batch(pixels), InputSpec(16, (0.0,) * 3, (1.0,) * 3), None)
    found = prepared.inputs["pixel_values"]
    expected = F.interpolate(pixels.float() / 255, (16, 16), mode="bilinear", antialias=True)
    torch.testing.assert_close(found, expected.expand(2, 3, 16, 16))


def test_statistics_are_the_training_sets():
    pixels = torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1)
    facts = Image("image").facts({"pixel_values": pixels}, Path())
    assert facts["image_size"] == 1 and facts["mean"] == [0.5]
    assert facts["std"] == [pytest.approx(np.std([0, 1], ddof=1))]


def test_augmentation_happens_only_with_a_generator_and_as_it_decides():
    pixels = torch.randint(0, 256, (4, 3, 8, 8), dtype=torch.uint8, generator=generator())
    spec, modality = InputSpec(8, (0.0,) * 3, (1.0,) * 3), Image("image", "crop_flip")
    plain = modality.prepare(batch(pixels), spec, None).inputs["pixel_values"]
    assert torch.equal(plain, pixels.float() / 255)
    first, again, other = (
        modality.prepare(batch(pixels), spec, generator(seed)).inputs["pixel_values"] for seed in (1, 1, 2)
    )
    assert torch.equal(first, again) and not torch.equal(first, other) and not torch.equal(first, plain)
    with pytest.raises(UsageError, match="Did you mean 'crop_flip'"):
        Image("image", "cropflip")


def test_shift_moves_each_image_on_its_own_by_whole_pixels():
    pixels = torch.zeros(64, 1, 8, 8)
    pixels[:, 0, 4, 4] = 1
    moved = shift(pixels, 8, generator())
    places = moved.flatten(1).argmax(1)
    found = {(int(p) // 8 - 4, int(p) % 8 - 4) for p in places}
    assert moved.sum() == 64
    assert found == {(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)}


def test_crop_flip_shows_parts_of_the_image_some_of_them_mirrored():
    ramp = torch.linspace(0, 1, 32).expand(200, 1, 32, 32)  # brighter to the right
    cut = crop_flip(ramp, 16, generator())
    slopes = (cut[..., -1] - cut[..., 0]).mean((1, 2))
    assert cut.shape == (200, 1, 16, 16) and cut.min() >= 0 and cut.max() <= 1 + 1e-6
    assert 70 < int((slopes < 0).sum()) < 130
    assert slopes.abs().max() <= 1 and slopes.abs().min() < 0.6


def test_kl_by_hand():
    """p = (.5, .5), q = (.9, .1): .5 ln(.5/.9) + .5 ln(.5/.1) = .5108."""
    p, q = torch.tensor([[0.0, 0.0]]), torch.tensor([[0.9, 0.1]]).log()
    assert divergence.kl(p, q).item() == pytest.approx(0.5108256)
    assert divergence.kl(p * 3, q * 3, temperature=3.0).item() == pytest.approx(0.5108256)


def test_kl_is_zero_with_zero_gradient_between_equals_and_never_negative():
    logits = 20 * torch.randn(500, 7, generator=generator())
    student = logits.clone().requires_grad_()
    value = divergence.kl(logits, student)
    assert value.abs().max() == 0
    value.sum().backward()
    assert student.grad.abs().max() < 1e-6
    others = 20 * torch.randn(500, 7, generator=generator(1))
    assert divergence.kl(logits, others).min() >= 0
    teacher = logits.clone().requires_grad_()
    divergence.kl(teacher, others.requires_grad_()).sum().backward()
    assert teacher.grad is None
