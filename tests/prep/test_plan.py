"""The plan follows from headers and always leads to one shape and 8 bits."""

from __future__ import annotations

import numpy as np
import pytest

from medloop import prep
from medloop.types import Image, ImageRef

CT = (("modality", "CT"),)


def ref(shape, *, dtype="uint8", spacing=None, colour=False, facts=(), name="a") -> ImageRef:
    return ImageRef(name, "raster", (), shape=shape, dtype=dtype, spacing_mm=spacing, colour=colour, facts=facts)


def names(refs) -> list[str]:
    return [step.name for step in prep.plan(refs)]


def image_of(one: ImageRef, seed: int = 0) -> Image:
    pixels = np.random.default_rng(seed).integers(0, 250, one.shape).astype(one.dtype)
    affine = None if one.spacing_mm is None else np.diag([*one.spacing_mm[::-1], 1.0])
    return Image(pixels, one.spacing_mm, affine, one.modality, one.colour)


def test_small_pictures_of_one_size_stay_as_they_are() -> None:
    refs = [ref((1, 1, 1, 28, 28))] * 5
    assert prep.plan(refs)[-1].params["size"] == [1, 28, 28]
    image = image_of(refs[0])
    assert prep.apply(image, prep.plan(refs)).pixels is image.pixels


def test_small_pictures_of_like_sizes_keep_their_scale() -> None:
    refs = [ref((1, 3, 1, 116 + at % 9, 118 + at % 5), colour=True) for at in range(60)]
    assert prep.plan(refs)[-1].params["size"] == [1, 124, 124]
    image = image_of(refs[0])
    out = prep.apply(image, prep.plan(refs))
    np.testing.assert_array_equal(out.pixels[..., 4:120, 3:121], image.pixels)


def test_large_pictures_are_shrunk_into_one_frame() -> None:
    refs = [ref((1, 1, 1, 900 + 40 * at, 1100 + 7 * at), dtype="uint16") for at in range(20)]
    assert "crop" in names(refs)
    assert prep.plan(refs)[-1].params["size"] == [1, 224, 224]


def test_pictures_of_one_aspect_keep_it() -> None:
    refs = [ref((1, 3, 1, 480, 640), colour=True)] * 4
    assert prep.plan(refs)[-1].params["size"] == [1, 168, 224]


def test_ct_volumes_get_a_common_spacing_within_the_budget() -> None:
    refs = [ref((1, 1, 60 + at, 512, 512), dtype="int16", spacing=(5.0, 0.8, 0.8), facts=CT) for at in range(10)]
    steps = {step.name: step.params for step in prep.plan(refs)}
    z, y, x = steps["resample"]["spacing_mm"]
    assert z == 5.0
    assert y == x
    assert 0.8 < x < 4.5
    assert 0.9 * 96**3 < np.prod(steps["fit"]["size"]) < 1.1 * 96**3
    assert steps["normalise"]["windows"] == [[-160.0, 240.0]]


def test_chest_ct_gets_the_lung_window_too() -> None:
    refs = [ref((1, 1, 40, 64, 64), dtype="int16", spacing=(5, 5, 5), facts=(("body_part", "CHEST"), *CT))]
    assert {step.name: step.params for step in prep.plan(refs)}["normalise"]["windows"] == [[-1350.0, 150.0], [-160.0, 240.0]]


def test_nothing_is_made_finer_than_it_was_taken() -> None:
    refs = [ref((1, 1, 20, 60, 60), spacing=(6.0, 3.0, 3.0)), ref((1, 1, 22, 64, 64), spacing=(6.0, 3.0, 3.0))]
    assert {step.name: step.params for step in prep.plan(refs)}["resample"]["spacing_mm"] == [6.0, 3.0, 3.0]


def test_volumes_a_little_above_the_budget_stay_as_they_are() -> None:
    """A resampling by less than one percent would only blur them."""
    brain = ref((1, 1, 182, 218, 182), dtype="float32", spacing=(1.0, 1.0, 1.0))
    for voxels, spacing in ((192**3, 1.0), (160**3, 1.208)):
        steps = {step.name: step.params for step in prep.plan([brain], voxels=voxels)}
        assert steps["resample"]["spacing_mm"] == [spacing] * 3


def test_main_kind_leaves_the_others_out_with_a_reason() -> None:
    refs = [
        ref((1, 1, 1, 9, 9)),
        ref((1, 1, 1, 8, 9)),
        ref((1, 3, 1, 8, 8), colour=True),
        ref((1, 1, 5, 9, 9)),
        ref((1, 4, 1, 9, 9)),
    ]
    kind = prep.main_kind(refs)
    assert kind.kept == (0, 1, 2)
    assert [at for at, _ in kind.left_out] == [3, 4]
    assert "a volume, while most are flat pictures" in kind.left_out[0][1]
    assert "4 channels" in kind.left_out[1][1]
    assert prep.main_kind([]) == prep.MainKind((), ())


MIXTURES = {
    "one": [ref((1, 1, 1, 28, 28))],
    "tiny": [ref((1, 1, 1, 1, 1)), ref((1, 1, 1, 3, 1))],
    "thin": [ref((1, 1, 1, 30000, 3)), ref((1, 1, 1, 40, 50))],
    "grey and colour": [ref((1, 1, 1, 50, 40)), ref((1, 3, 1, 300, 280), colour=True), ref((1, 3, 1, 90, 80), colour=True)],
    "film": [ref((7, 1, 1, 50, 40)), ref((1, 1, 1, 50, 40))],
    "modalities": [
        ref((1, 1, 20, 40, 44), dtype="int16", spacing=(4, 3, 3), facts=CT),
        ref((1, 1, 90, 30, 34), dtype="float32", spacing=(1, 3, 2), facts=(("modality", "MR"),)),
    ],
    "spacing unknown": [ref((1, 1, 120, 130, 140), dtype="uint16"), ref((1, 1, 100, 130, 90), spacing=(2, 2, 2))],
    "small volumes": [ref((1, 1, 28, 28, 28))] * 3,
}


@pytest.mark.parametrize("what", MIXTURES)
def test_every_mixture_comes_to_one_shape_and_bytes(what: str) -> None:
    refs = MIXTURES[what]
    assert prep.main_kind(refs).left_out == ()
    prepare = prep.chain(prep.plan(refs))
    out = [prepare(image_of(one, seed)).pixels for seed, one in enumerate(refs) if np.prod(one.shape) > 1]
    assert len({pixels.shape for pixels in out}) == 1
    assert {pixels.dtype for pixels in out} == {np.dtype(np.uint8)}
    assert out[0].size <= 3 * 1.2 * max(prep.VOXELS, prep.SIDE**2)


def test_a_recipe_prepares_other_images_too() -> None:
    """What is learnt from 28 by 28 grey bytes can be asked about a 16-bit radiograph in colour or an endless film."""
    prepare = prep.chain(prep.plan([ref((1, 1, 1, 28, 28))] * 5))
    for other in (ref((1, 1, 1, 900, 700), dtype="uint16"), ref((1, 3, 1, 60, 90), colour=True), ref((9, 1, 1, 20, 28))):
        out = prepare(image_of(other)).pixels
        assert (out.shape, out.dtype) == ((1, 1, 1, 28, 28), np.uint8)


def test_axes_are_taken_as_they_will_be_turned() -> None:
    """Sagittal slices: the file's x runs to the back, y to the feet, z to the left."""
    one = ref((1, 1, 30, 128, 120), dtype="int16", spacing=(4.0, 2.0, 2.5), facts=(("axes", "PIL"), ("modality", "MR")))
    steps = prep.plan([one, ref((1, 1, 31, 128, 120), dtype="int16", spacing=(4.0, 2.0, 2.5), facts=one.facts)], voxels=10**7)
    assert {step.name: step.params for step in steps}["resample"]["spacing_mm"] == [2.0, 2.5, 4.0]
    assert steps[-1].params["size"] == [128, 120, 31]
    affine = np.array([[0.0, 0, 4, 0], [2.5, 0, 0, 0], [0, -2, 0, 0], [0, 0, 0, 1]])
    pixels = np.random.default_rng(0).integers(0, 250, one.shape).astype(np.int16)
    out = prep.apply(Image(pixels, one.spacing_mm, affine, "MR"), steps)
    assert out.pixels.shape == (1, 1, 128, 120, 31)
    assert (out.pixels.max(axis=(0, 1, 2, 3)) > 0).sum() == 30
