"""clean, channels, normalise, sample: values and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from medloop.errors import Unreadable
from medloop.prep import channels, clean, normalise, sample
from medloop.types import Image


def test_not_a_number_becomes_the_smallest_value() -> None:
    pixels = np.array([[3.0, np.nan], [np.inf, -2.0]], np.float32).reshape(1, 1, 1, 2, 2)
    np.testing.assert_array_equal(clean.step(Image(pixels)).pixels.ravel(), [3, -2, -2, -2])


@pytest.mark.parametrize("pixels", [np.full((1, 1, 1, 4, 4), np.nan), np.full((1, 1, 1, 4, 4), 7), np.zeros((1, 1, 1, 0, 4))])
def test_nothing_to_see_is_refused(pixels: np.ndarray) -> None:
    with pytest.raises(Unreadable, match="pixel"):
        clean.step(Image(pixels))


def test_uniform_frames_go() -> None:
    pixels = np.zeros((4, 1, 1, 3, 3), np.uint8)
    pixels[1, ..., 0, 0], pixels[3, ..., 0, 0] = 5, 6
    out = clean.step(Image(pixels)).pixels
    np.testing.assert_array_equal(out, pixels[[1, 3]])


def test_uniform_end_slices_go_and_inner_ones_stay() -> None:
    pixels = np.zeros((1, 1, 7, 3, 3), np.int16)
    pixels[0, 0, [2, 5], 1, 1] = 9
    affine = np.diag([1.0, 1.0, 4.0, 1.0])
    out = clean.step(Image(pixels, spacing_mm=(4, 1, 1), affine_lps=affine), slices=True)
    np.testing.assert_array_equal(out.pixels, pixels[:, :, 2:6])
    assert out.affine_lps is not None
    assert out.affine_lps[2, 3] == 8.0
    assert clean.step(Image(pixels)).pixels.shape == pixels.shape


def test_ct_windows_become_channels() -> None:
    hu = np.array([-2000, -1350, -160, 40, 240, 3000], np.int16).reshape(1, 1, 1, 2, 3)
    out = normalise.step(Image(hu, modality="CT"), windows=[(-160, 240), (-1350, 150)]).pixels
    assert out.dtype == np.uint8
    np.testing.assert_array_equal(out[0, 0].ravel(), [0, 0, 0, 128, 255, 255])
    np.testing.assert_array_equal(out[0, 1].ravel(), [0, 0, 202, 236, 255, 255])


def test_bytes_and_colour_stay_as_they_are() -> None:
    pixels = np.random.default_rng(0).integers(0, 90, (1, 3, 1, 5, 6), dtype=np.uint8)
    assert normalise.step(Image(pixels, colour=True)).pixels is pixels


def test_percentiles_do_not_depend_on_scale_or_outliers() -> None:
    pixels = np.random.default_rng(1).normal(300, 60, (1, 1, 8, 32, 32)).astype(np.float32)
    bright = pixels.copy()
    bright[0, 0, 0, 0, 0] = 1e6
    plain = normalise.step(Image(pixels, modality="MR")).pixels
    outlier = normalise.step(Image(bright, modality="MR")).pixels
    np.testing.assert_allclose(plain.ravel()[1:], outlier.ravel()[1:], atol=2)
    np.testing.assert_allclose(plain, normalise.step(Image(pixels * 7 + 3, modality="MR")).pixels, atol=1)
    assert plain.min() == 0
    assert plain.max() == 255


def test_contrasts_are_scaled_each_by_itself_and_colours_together() -> None:
    pixels = np.stack([np.linspace(0, 10, 100), np.linspace(0, 1000, 100)]).reshape(1, 2, 1, 10, 10)
    out = normalise.step(Image(pixels, modality="MR"), method="range").pixels
    np.testing.assert_array_equal(out[0, 0], out[0, 1])
    rgb = np.concatenate([pixels, pixels[:, :1]], axis=1).astype(np.uint16)
    tinted = normalise.step(Image(rgb, colour=True), method="range").pixels
    assert tinted[0, 0].max() < tinted[0, 1].max()


def test_sixteen_bits() -> None:
    pixels = np.linspace(-1, 1, 50).reshape(1, 1, 1, 5, 10)
    out = normalise.step(Image(pixels), method="range", bits=16).pixels
    assert out.dtype == np.uint16
    assert out.max() == 65535


def test_grey_is_luma_and_rgb_is_grey_three_times() -> None:
    red = np.zeros((1, 3, 1, 2, 2), np.uint8)
    red[:, 0] = 200
    grey = channels.step(Image(red, colour=True), to="grey")
    assert grey.pixels.shape == (1, 1, 1, 2, 2)
    assert not grey.colour
    assert grey.pixels.max() == 60
    back = channels.step(grey, to="rgb")
    assert back.colour
    assert (back.pixels == 60).all()
    with pytest.raises(Unreadable, match="2 channels"):
        channels.step(Image(red[:, :2]), to="rgb")


def test_frames() -> None:
    pixels = np.arange(10, dtype=np.int16).reshape(10, 1, 1, 1, 1) * np.ones((1, 1, 1, 2, 2), np.int16)
    taken = {
        name: sample.step(Image(pixels), frames=name).pixels[:, 0, 0, 0, 0].tolist()
        for name in ("first", "middle", "mean", "maximum")
    }
    assert taken == {"first": [0], "middle": [5], "mean": [4], "maximum": [9]}
    assert sample.step(Image(pixels), frames="spread", count=5).pixels[:, 0, 0, 0, 0].tolist() == [0, 2, 4, 6, 8]
    assert sample.step(Image(pixels[:2]), frames="spread", count=4).pixels.shape[0] == 4


def test_frames_become_slices_in_their_order() -> None:
    frames = np.arange(10, dtype=np.uint8).reshape(10, 1, 1, 1, 1) * np.ones((1, 3, 1, 4, 5), np.uint8)
    taken = sample.step(Image(frames), frames="sequence", count=5).pixels
    assert taken.shape == (1, 3, 5, 4, 5)
    assert taken[0, 1, :, 2, 2].tolist() == [0, 2, 4, 6, 8]
    assert sample.step(Image(frames[:1]), frames="sequence", count=5).pixels.shape == (1, 3, 5, 4, 5)
    with pytest.raises(Unreadable, match="volume in motion"):
        sample.step(Image(np.zeros((3, 1, 2, 4, 4), np.uint8)), frames="sequence")


def brain(scale: float, lesion: float, air: float = 0.0) -> Image:
    """A ball of tissue in air, one tenth of a percent of it ``lesion`` times as bright."""
    draw = np.random.default_rng(2)
    grid = np.stack(np.meshgrid(*[np.arange(40) - 20] * 3, indexing="ij"))
    inside = (grid**2).sum(axis=0) < 200
    pixels = np.where(inside, draw.normal(100, 12, inside.shape), air)
    pixels[20, 20, 20:26] = 100 * lesion
    return Image((scale * pixels).astype(np.float32)[None, None], modality="MR")


def test_tissue_is_alike_whatever_the_scale_and_lesions_are_not_cut_off() -> None:
    plain = normalise.step(brain(1, 1.5), method="tissue").pixels[0, 0]
    np.testing.assert_allclose(normalise.step(brain(31, 1.5), method="tissue").pixels[0, 0].astype(int), plain, atol=1)
    assert (plain[0] == 0).all(), "air"
    assert plain[15, 15:25, 15:25].mean() == pytest.approx(255 * 3 / 8, abs=3)
    brighter = normalise.step(brain(1, 1.55), method="tissue").pixels[0, 0]
    assert (plain[20, 20, 20:26] < 255).all()
    assert (brighter[20, 20, 20:26] > plain[20, 20, 20:26]).all()
    by_percentiles = [normalise.step(brain(1, each), method="percentiles").pixels[0, 0, 20, 20, 20:26] for each in (1.5, 1.55)]
    assert (by_percentiles[0] == 255).all(), "what the other way does"


def test_tissue_of_an_image_that_is_all_one_value() -> None:
    same = np.full((1, 2, 2, 3, 3), 7.0, np.float32)
    assert len(np.unique(normalise.step(Image(same, modality="MR"), method="tissue").pixels)) == 1
