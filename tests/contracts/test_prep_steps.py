"""What every preparation step promises: pure, the same every time, JSON parameters, place and spacing that agree."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medloop import prep, recipes, registry
from medloop.errors import InputError, Unreadable
from medloop.prep import _grid
from medloop.types import Image, Recipe, Step

NEEDED = {"fit": {"size": [4, 12, 9]}, "align": {"reference": "reference.nii", "iterations": 3}}
VARIED = {
    "clean": [{"slices": True}, {"frames": False}],
    "sample": [{"frames": "mean"}, {"frames": "maximum"}, {"slices": "spread", "count": 3}, {"slices": "middle"}],
    "channels": [{"to": "rgb"}],
    "crop": [{"margin": 0, "share": 0.2}],
    "resample": [{"spacing_mm": [3.0, 2.0, 2.0]}, {"size": [4, 8, 8], "keep_shape": False, "interpolation": "nearest"}],
    "fit": [{"size": [9, 30, 30], "pad": "median"}],
    "normalise": [{"method": "range", "bits": 16}, {"method": "window", "windows": [[0, 90], [20, 40]]}],
    "bias": [{"shrink": 2, "iterations": 2}],
}
CASES = [(name, NEEDED.get(name, {}) | more) for name in prep.STEPS for more in ({}, *VARIED.get(name, ()))]


@pytest.fixture(autouse=True)
def _reference(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path_factory.mktemp("reference")
    sitk.WriteImage(sitk.GetImageFromArray(image((1, 1, 8, 12, 14)).pixels[0, 0].astype(np.float32)), str(folder / "reference.nii"))
    monkeypatch.chdir(folder)


def image(
    shape: tuple[int, ...], dtype: str = "int16", *, colour: bool = False, modality: str | None = "MR", seed: int = 0
) -> Image:
    pixels = np.random.default_rng(seed).uniform(0, 120, shape).astype(dtype)
    affine = np.array([[0.0, -1.5, 0, 4], [-0.7, 0, 0, 5], [0, 0, 2.0, 6], [0, 0, 0, 1]])
    return Image(pixels, (2.0, 1.5, 0.7), affine, modality, colour)


IMAGES = {
    "grey": lambda: image((1, 1, 1, 20, 17), "uint8", modality=None),
    "colour": lambda: image((1, 3, 1, 20, 17), "uint8", colour=True, modality=None),
    "volume": lambda: image((1, 1, 9, 16, 18)),
    "ct": lambda: image((1, 1, 9, 16, 18), modality="CT"),
    "contrasts": lambda: image((1, 2, 9, 16, 18), "float32"),
    "film": lambda: image((5, 1, 1, 16, 18), "uint16", modality="US"),
    "wide numbers": lambda: image((1, 1, 2, 16, 18), "int32"),
    "no place": lambda: Image(np.random.default_rng(1).normal(size=(1, 1, 6, 12, 12))),
}


def done(step: Step, given_image: Image) -> Image | str:
    try:
        return prep.apply(given_image, [step])
    except Unreadable as reason:
        return str(reason)


@pytest.mark.parametrize("what", IMAGES)
@pytest.mark.parametrize(("name", "params"), CASES)
def test_every_step_on_every_kind_of_image(name: str, params: dict, what: str) -> None:
    before, same = IMAGES[what](), IMAGES[what]()
    step = Step(name, json.loads(json.dumps(params)))
    out = done(step, before)
    np.testing.assert_array_equal(before.pixels, same.pixels)
    again = done(step, same)
    if isinstance(out, str):
        assert out == again
        return
    assert isinstance(again, Image)
    np.testing.assert_array_equal(out.pixels, again.pixels)
    assert out.pixels.ndim == 5
    assert out.pixels.flags.c_contiguous
    assert np.isfinite(out.pixels).all()
    assert not out.colour or out.pixels.shape[1] == 3
    if name != "align":
        assert (out.spacing_mm is None) == (before.spacing_mm is None)
        assert (out.affine_lps is None) == (before.affine_lps is None)
    if out.affine_lps is not None:
        np.testing.assert_allclose(np.linalg.norm(out.affine_lps[:3, :3], axis=0)[::-1], out.spacing_mm)


INTENSITIES = ("bias", "normalise")


def told(axis: int, *, flat: bool = False) -> Image:
    """Within a border of zeros, values that tell their index along ``axis`` (0 x, 1 y, 2 z)."""
    shape = (1 if flat else 36, 44, 47)
    inner = (slice(None) if flat else slice(2, -2), slice(3, -4), slice(4, -3))
    pixels = np.zeros((1, 1, *shape), np.float32)
    pixels[0, 0][inner] = np.indices(shape)[2 - axis][inner] + 100
    affine = np.array([[0.0, -1.5, 0, 4], [-0.7, 0, 0, 5], [0, 0, 2.0, 6], [0, 0, 0, 1]])
    return Image(pixels, (2.0, 1.5, 0.7), affine)


def reach(image: Image) -> np.ndarray:
    """How far ``(x, y, z)`` a voxel may have been mixed with others, in voxels as read."""
    return 1 + np.abs(np.eye(3) if image.from_voxel is None else image.from_voxel[:3, :3]).max(axis=1)


def untold(image: Image, axis: int, margin: np.ndarray, *, flat: bool) -> np.ndarray:
    """How far the values are from what ``from_voxel`` tells, at least ``margin`` from the border of zeros."""
    matrix = np.eye(4) if image.from_voxel is None else image.from_voxel
    z, y, x = np.indices(image.pixels.shape[2:], np.float64)
    place = np.einsum("ij,j...->...i", matrix, np.stack([x, y, z, np.ones_like(x)]))[..., :3]
    inside = (place >= np.array([4, 3, 2]) + margin) & (place <= np.array([43, 39, 33]) - margin)
    inside[..., 2] = np.abs(place[..., 2]) < 0.5 if flat else inside[..., 2]
    inside = inside.all(axis=-1)
    return np.abs(image.pixels[0, 0] - 100 - place[..., axis])[inside]


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize(("name", "params"), CASES)
def test_every_step_tells_where_its_voxels_come_from(name: str, params: dict, flat: bool) -> None:
    if name == "bias":
        params = params | {"iterations": 1}
    for axis in range(2 if flat else 3):
        before = told(axis, flat=flat)
        out = done(Step(name, params), before)
        if isinstance(out, str):
            assert name == "align"
            assert flat
            continue
        if name in INTENSITIES:
            assert out.from_voxel is None
            continue
        rounded = params.get("slices") == "spread" or params.get("interpolation") == "nearest"
        slack = 0.51 if rounded else 0.1 if name == "resample" else 2e-3  # a mean over few voxels lies a little off its middle
        off = untold(out, axis, reach(out), flat=flat)
        assert len(off) > 3
        assert off.max() <= slack
        sizes = out.pixels.shape[2], 15, 16
        twice = prep.apply(out, [Step("resample", {"size": sizes, "keep_shape": False}), Step("fit", {"size": [sizes[0], 14, 13]})])
        assert untold(twice, axis, reach(out) + reach(twice), flat=flat).max(initial=0) <= slack + 0.15


def test_frames_taken_for_slices_have_no_place() -> None:
    out = prep.apply(IMAGES["film"](), [Step("sample", {"frames": "sequence", "count": 3}), Step("fit", {"size": [3, 9, 9]})])
    assert np.isnan(out.from_voxel).all()


@pytest.mark.parametrize(("name", "params"), [("resample", {"size": [20, 30, 30]}), ("crop", {}), ("orient", {})])
def test_the_check_of_places_sees_half_a_voxel(name: str, params: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    half = np.eye(4)
    half[0, 3] = 0.5
    monkeypatch.setattr(_grid, "followed", lambda image, matrix: matrix @ half)
    with pytest.raises(AssertionError):
        test_every_step_tells_where_its_voxels_come_from(name, params, flat=False)


@pytest.mark.parametrize(("name", "params"), CASES)
def test_every_step_travels_in_a_recipe(name: str, params: dict) -> None:
    recipe = Recipe("r", "classical", (Step(name, params),))
    for read in (recipes.from_toml(recipes.to_toml(recipe)), recipes.from_json(json.loads(json.dumps(recipes.to_json(recipe))))):
        assert prep.checked(read.preparation) == prep.checked(recipe.preparation)
        assert prep.key(read.preparation) == prep.key(recipe.preparation)


@pytest.mark.parametrize("name", prep.STEPS)
def test_every_step_has_a_version_and_words(name: str) -> None:
    module = registry.load("prep", name)
    assert isinstance(module.VERSION, int)
    assert module.__doc__
    assert module.step.__doc__


@pytest.mark.parametrize("name", prep.STEPS)
def test_misspelt_steps_and_parameters_are_answered(name: str) -> None:
    with pytest.raises(InputError, match=f"no preparation step named '{name}e'") as wrong:
        prep.checked([Step(name + "e")])
    assert name in wrong.value.fix
    for parameter in prep.checked([Step(name, NEEDED.get(name, {}))])[0].params:
        with pytest.raises(InputError) as wrong:
            prep.checked([Step(name, {parameter + "x": 1})])
        assert f"Did you mean {parameter}" in wrong.value.fix
        with pytest.raises(InputError) as wrong:
            prep.checked([Step(name, NEEDED.get(name, {}) | {parameter: {"a": "table"}})])
        assert parameter in wrong.value.got


def test_a_changed_parameter_or_version_changes_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    one = prep.key([Step("crop")])
    assert one == prep.key([Step("crop", {"margin": 2})])
    assert one != prep.key([Step("crop", {"margin": 3})])
    assert prep.key([Step("orient"), Step("crop")]) != prep.key([Step("crop"), Step("orient")])
    monkeypatch.setattr(registry.load("prep", "crop"), "VERSION", 99)
    assert prep.key([Step("crop")]) != one


SIZES = st.tuples(st.integers(1, 9), st.integers(1, 24), st.integers(1, 24))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(have=SIZES, want=SIZES, pad=st.sampled_from(["edge", "median", "minimum", "zero"]), seed=st.integers(0, 9))
def test_fit_always_gives_the_size_and_keeps_the_middle(have, want, pad, seed) -> None:
    before = image((1, 2, *have), seed=seed)
    out = prep.apply(before, [Step("fit", {"size": list(want), "pad": pad})])
    assert out.pixels.shape == (1, 2, *want)
    back = prep.apply(out, [Step("fit", {"size": list(have), "pad": pad})])
    if all(w >= h for w, h in zip(want, have, strict=True)) and all((w - h) % 2 == 0 for w, h in zip(want, have, strict=True)):
        np.testing.assert_array_equal(back.pixels, before.pixels)
        np.testing.assert_allclose(back.affine_lps, before.affine_lps)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(have=SIZES, want=SIZES, keep=st.booleans(), dtype=st.sampled_from(["uint8", "int16", "int32", "float32"]))
def test_resample_fits_into_the_size_and_keeps_the_centre(have, want, keep, dtype) -> None:
    before = image((1, 1, *have), dtype)
    out = prep.apply(before, [Step("resample", {"size": list(want), "keep_shape": keep})])
    assert all(o <= max(w, 1) or h == 1 for o, w, h in zip(out.pixels.shape[2:], want, have, strict=True))
    assert keep or out.pixels.shape[2:] == want
    assert out.pixels.dtype == before.pixels.dtype
    assert before.pixels.min() <= out.pixels.min()
    assert out.pixels.max() <= before.pixels.max()
    np.testing.assert_allclose(centre(out), centre(before), atol=1e-6)


def centre(of: Image) -> np.ndarray:
    middle = (np.array(of.pixels.shape[:1:-1]) - 1) / 2
    return of.affine_lps @ [*middle, 1.0]


def test_the_purity_check_sees_a_step_that_writes_into_its_input(monkeypatch: pytest.MonkeyPatch) -> None:
    def spoil(image: Image) -> Image:
        image.pixels[...] = 0
        return image

    monkeypatch.setattr(registry.load("prep", "orient"), "step", spoil)
    with pytest.raises(AssertionError):
        test_every_step_on_every_kind_of_image("orient", {}, "volume")


def test_a_step_file_is_all_that_is_needed() -> None:
    folder = Path(prep.__file__).parent
    assert set(prep.STEPS) == {path.stem for path in folder.glob("[a-z]*.py")}
