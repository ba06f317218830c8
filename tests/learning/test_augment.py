"""Changed copies of pictures: reproducible, recorded, within their ranges, and geometrically right."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from medloop.errors import InputError
from medloop.learning import augment
from medloop.learning.augment import NOTHING, Augmentation, Draws, apply, default, draw, mixed
from medloop.types import UNKNOWN

EVERYTHING = Augmentation(
    turn=20, tilt=10, scale=0.2, shift=0.1, flips=("z", "y", "x"), quarters=True, blur=1, sharpen=1, brightness=20,
    contrast=0.3, gamma=0.3, noise=10, cut_out=0.5, mixup=0.4,
)  # fmt: skip
SHAPES = [(6, 3, 20, 24), (6, 1, 9, 10, 11)]


def pictures(shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))


def only(n=4, **changed):
    """Draws that change nothing but what is named."""
    draws = draw(n, NOTHING, 0, 0, 0)
    return dataclasses.replace(draws, **{name: np.asarray(value) for name, value in changed.items()})


def arrays(draws):
    return {each.name: getattr(draws, each.name) for each in dataclasses.fields(Draws)}


def disagreements(whole, parts):
    """Which changes of an epoch depend on how it is cut into batches."""
    joined = {name: np.concatenate([arrays(part)[name] for part in parts]) for name in arrays(whole)}
    return {name for name, values in arrays(whole).items() if not np.array_equal(values, joined[name])}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_same_draws_give_the_same_pictures_also_from_json(shape):
    batch = pictures(shape)
    draws = draw(6, EVERYTHING, seed=3, epoch=2, first=12)
    torch.manual_seed(1)
    once = apply(batch, draws)
    torch.manual_seed(2)
    again = apply(batch, Draws.from_json(json.loads(json.dumps(draws.to_json()))))
    assert torch.equal(once, again)
    assert not torch.equal(once, apply(batch, draw(6, EVERYTHING, seed=3, epoch=3, first=12)))
    assert not torch.equal(once, apply(batch, draw(6, EVERYTHING, seed=4, epoch=2, first=12)))


@pytest.mark.parametrize("shape", SHAPES)
def test_pictures_keep_shape_and_range_and_are_not_written_to(shape):
    batch = pictures(shape)
    before = batch.clone()
    draws = draw(6, EVERYTHING, 0, 0, 0)
    changed = apply(batch, draws)
    assert changed.shape == batch.shape
    assert changed.dtype == torch.float32
    assert 0 <= float(changed.min()) <= float(changed.max()) <= 255
    floating = before.float()
    assert torch.equal(apply(floating, draws), changed)
    assert torch.equal(batch, before)
    assert torch.equal(floating, before.float())
    assert torch.equal(apply(batch, draw(6, NOTHING, 0, 0, 0)), batch.float())


def test_changes_do_not_depend_on_how_an_epoch_is_cut(monkeypatch):
    def cut(sizes):
        firsts = np.cumsum([0, *sizes[:-1]])
        return [draw(size, EVERYTHING, 5, 1, int(first)) for size, first in zip(sizes, firsts, strict=True)]

    assert disagreements(draw(20, EVERYTHING, 5, 1, 0), cut([8, 8, 4])) == {"partner"}
    plain = dataclasses.replace(EVERYTHING, mixup=0.0)
    assert not (draw(20, plain, 5, 1, 0).share < 1).any()
    monkeypatch.setattr(augment, "_PER_STEP", 5)
    assert len(disagreements(draw(20, EVERYTHING, 5, 1, 0), cut([8, 8, 4]))) > 5


def test_flips_and_quarter_turns_are_exact():
    batch = pictures((4, 2, 9, 9))
    flips = np.stack([np.diag(each) for each in ((1, 1, 1), (-1, 1, 1), (1, -1, 1), (-1, -1, 1))]).astype(float)
    changed = apply(batch, only(matrix=flips))
    for row, axes in enumerate(((), (2,), (1,), (1, 2))):
        assert torch.allclose(changed[row], batch[row].float().flip(axes), atol=0.01)
    turned = apply(batch, draw(4, Augmentation(quarters=True), 0, 0, 0)).round()
    for row in range(4):
        assert any(torch.equal(turned[row], torch.rot90(batch[row].float(), k, (1, 2))) for k in range(4))
    volume = pictures((1, 1, 4, 5, 6))
    for axis, diagonal in ((4, (-1, 1, 1)), (3, (1, -1, 1)), (2, (1, 1, -1))):
        assert torch.allclose(apply(volume, only(1, matrix=np.diag(diagonal)[None] * 1.0)), volume.float().flip(axis), atol=0.01)


def test_a_shift_moves_by_its_share_of_the_side():
    batch = torch.zeros(1, 1, 20, 40)
    batch[0, 0, 10, 20] = 255
    moved = apply(batch, only(1, offset=[[0.25, -0.1, 0]]))
    assert [int(each) for each in np.unravel_index(int(moved.argmax()), (20, 40))] == [12, 10]


@pytest.mark.parametrize("shape", [(40, 80), (80, 40)])
def test_turning_an_oblong_picture_keeps_shapes(shape):
    rows, columns = np.indices(shape)
    disc = 255.0 * ((rows - shape[0] / 2) ** 2 + (columns - shape[1] / 2) ** 2 < 12**2)
    turned = apply(torch.tensor(disc, dtype=torch.float32)[None, None], draw(1, Augmentation(turn=90), 4, 0, 0))[0, 0].numpy()
    assert np.abs(turned - disc).mean() < 3
    spread = [np.average((place - np.average(place, weights=turned)) ** 2, weights=turned) for place in (rows, columns)]
    assert spread[0] == pytest.approx(spread[1], rel=0.02)


@given(st.integers(0, 2**63 - 1), st.integers(0, 1000), st.integers(0, 10**6))
@settings(max_examples=25, deadline=None)
def test_draws_stay_in_their_ranges(seed, epoch, first):
    wanted = dataclasses.replace(EVERYTHING, quarters=False, flips=(), tilt=0)
    draws = draw(16, wanted, seed, epoch, first)
    size = np.linalg.det(draws.matrix[:, :2, :2]) ** -0.5
    assert (np.abs(np.rad2deg(np.arctan2(draws.matrix[:, 1, 0], draws.matrix[:, 0, 0]))) <= 20.0001).all()
    assert (np.abs(np.log(size)) <= np.log(1.2001)).all()
    assert (np.abs(draws.offset) <= 0.1).all()
    assert ((draws.blur <= 1) & (draws.sharpen <= 1) & (draws.noise <= 10) & (np.abs(draws.bias) <= 20)).all()
    assert not ((draws.blur > 0) & (draws.sharpen > 0)).any()
    assert ((draws.gain >= 0.7) & (draws.gain <= 1.3) & (draws.exponent >= 0.7) & (draws.exponent <= 1 / 0.69)).all()
    assert (draws.box[:, :, 1] <= 0.25).all()
    assert ((draws.share >= 0.5) & (draws.share <= 1)).all()
    assert (draws.partner != np.arange(16)).all()


def test_anatomy_is_not_turned_upside_down_and_sides_are_kept():
    def signs(augmentation):
        matrix = draw(400, augmentation, 0, 0, 0).matrix
        return {(bool(row[0, 0] > 0), bool(row[1, 1] > 0)) for row in matrix}

    assert signs(default(colour=False)) == {(True, True), (False, True)}
    assert signs(default(colour=False, classes=("kidney-left", "kidney-right"))) == {(True, True)}
    assert len(signs(default(colour=True))) == 4
    assert default(colour=False, classes=("bright", "upright")).flips == ("x",)
    cells = draw(400, default(colour=True, classes=("Left lobe",)), 0, 0, 0).matrix
    assert (np.linalg.det(cells) > 0).all()
    shape = draw(400, default(colour=False, volume=True, binary=True), 0, 0, 0)
    assert float(np.abs([shape.noise, shape.blur, shape.bias, shape.gain - 1, shape.exponent - 1]).max()) == 0


def test_noise_has_its_deviation_and_blur_and_sharpening_their_effect():
    flat = torch.full((2, 1, 64, 64), 128.0)
    noisy = apply(flat, only(2, noise=[0.0, 9.0], seed=[1, 2]))
    assert float(noisy[0].std()) == 0
    assert float(noisy[1].std()) == pytest.approx(9, rel=0.05)
    edges = torch.zeros(3, 1, 32, 32)
    edges[..., 16:] = 100
    edges += 50
    changed = apply(edges, only(3, blur=[0.0, 1.0, 0.0], sharpen=[0.0, 0.0, 0.5]))
    steepest = changed.diff(dim=3).abs().amax(dim=(1, 2, 3))
    assert float(steepest[0]) == 100
    assert float(steepest[1]) == pytest.approx(100 * 0.399, rel=0.05)  # a Gaussian's height at its middle
    assert float(steepest[2]) > 110
    assert changed[..., 0, 0].flatten().tolist() == pytest.approx([50, 50, 50], abs=0.01)


def test_blur_is_the_same_along_every_axis_of_a_volume():
    point = torch.zeros(1, 1, 15, 15, 15)
    point[0, 0, 7, 7, 7] = 255
    blurred = apply(point, only(1, blur=[1.2]))[0, 0]
    assert torch.allclose(blurred, blurred.permute(2, 0, 1), atol=1e-4)
    assert float(blurred.sum()) == pytest.approx(255, rel=1e-3)


def test_brightness_contrast_and_gamma():
    ramp = torch.arange(64, 192, dtype=torch.float32).reshape(1, 1, 8, 16).repeat(3, 1, 1, 1)
    changed = apply(ramp, only(3, bias=[10.0, 0, 0], gain=[1.0, 0.5, 1.0], exponent=[1.0, 1.0, 2.0]))
    assert torch.allclose(changed[0], ramp[0] + 10, atol=1e-3)
    assert float(changed[1].mean()) == pytest.approx(float(ramp.mean()), abs=1e-3)
    assert float(changed[1].std()) == pytest.approx(float(ramp[0].std()) / 2, rel=1e-4)
    assert torch.allclose(changed[2], 255 * (ramp[2] / 255) ** 2, atol=1e-2)


@pytest.mark.parametrize("shape", [(40, 3, 20, 30), (40, 1, 10, 10, 10)])
def test_a_hole_has_the_colour_of_the_picture_and_no_more_than_its_size(shape):
    batch = pictures(shape).float()
    changed = apply(batch, draw(40, Augmentation(cut_out=0.4, chance=1.0), 0, 0, 0))
    for before, after in zip(batch, changed, strict=True):
        where = (before != after).any(dim=0)
        extents = [int(np.ptp(each)) + 1 for each in np.nonzero(where.numpy())]
        assert all(1 <= extent <= 0.4 * side + 2 for extent, side in zip(extents, where.shape, strict=True))
        hole = after[:, where]
        assert torch.allclose(hole, before.flatten(1).mean(dim=1)[:, None].expand_as(hole), atol=1e-3)


def test_mixup_mixes_pictures_and_targets_alike():
    batch = pictures((8, 1, 6, 6)).float()
    draws = draw(8, Augmentation(mixup=1.0), 0, 0, 0)
    share = torch.tensor(draws.share, dtype=torch.float32)
    changed = apply(batch, draws)
    assert torch.allclose(changed[0], share[0] * batch[0] + (1 - share[0]) * batch[int(draws.partner[0])])
    targets = torch.eye(8)
    targets[:, 7] = float("nan")
    soft = mixed(targets, draws)
    assert torch.allclose(soft[:, :7].diagonal(), share[:7])
    assert torch.isnan(soft[:, 7]).all()
    assert torch.allclose(mixed(torch.eye(8), draws).sum(dim=1), torch.ones(8))
    assert torch.equal(mixed(torch.eye(8), draw(8, NOTHING, 0, 0, 0)), torch.eye(8))
    assert draw(1, EVERYTHING, 0, 0, 0).partner.tolist() == [0]


def test_settings_as_json():
    assert Augmentation.from_json(json.loads(json.dumps(EVERYTHING.to_json()))) == EVERYTHING
    assert Augmentation.from_json({"turn": 5}) == Augmentation(turn=5.0)
    with pytest.raises(InputError, match="contrast"):
        Augmentation.from_json({"contrats": 0.2})


@pytest.mark.parametrize(
    "wrong", [{"flips": ["up"]}, {"flips": "w"}, {"turn": "much"}, {"turn": -1}, {"quarters": 1}, {"gamma": 1.0}, {"noise": True}]
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(InputError) as caught:
        Augmentation.from_json(wrong)
    assert caught.value.code == "augmentation"


MOVES = Augmentation(turn=180, scale=0.2, shift=0.1, flips=("y", "x"), quarters=True)


@pytest.mark.parametrize("shape", [(6, 1, 30, 44), (6, 12, 14, 16)])
def test_masks_and_boxes_move_as_their_pictures(shape):
    box = np.array([[0, 10, 17, 1, 19, 25] if shape[1] == 1 else [4, 4, 5, 8, 10, 11]], float)
    z, y, x = (slice(int(low), int(high)) for low, high in box[0].reshape(2, 3).T)
    labels = torch.zeros(shape, dtype=torch.uint8)
    labels[:, z, y, x] = 1
    pixels = labels * 200 if shape[1] == 1 else labels[:, None] * 200
    draws = draw(6, dataclasses.replace(MOVES, tilt=10.0 if shape[1] > 1 else 0.0), 1, 1, 0)
    moved, shown = augment.move(labels, draws), apply(pixels, draws).reshape(shape)
    inside = moved != UNKNOWN
    agree = ((shown > 100) == (moved == 1))[inside].float().mean()
    assert agree > 0.99
    assert 0 < (~inside).sum() < inside.sum()
    for place in range(6):
        edges, seen = augment.move_boxes(box, draws, place, shape[1:])
        there = np.argwhere((moved[place] == 1).numpy())
        assert seen.all()
        middle = (edges[0, :3] + edges[0, 3:]) / 2
        np.testing.assert_allclose(middle, (there.min(0) + there.max(0) + 1) / 2, atol=1.6)


def test_masks_and_boxes_are_exact_under_flips_and_quarter_turns_and_else_they_would_be_noticed(monkeypatch):
    labels = torch.from_numpy(np.random.default_rng(0).integers(0, 3, (8, 1, 20, 20), dtype=np.uint8))
    draws = draw(8, Augmentation(flips=("y", "x"), quarters=True), 3, 1, 0)

    def together():
        return torch.equal(augment.move(labels, draws).float(), apply(labels, draws).round())

    assert together()
    mirror = only(1, matrix=[np.diag([-1.0, 1, 1])])
    edges, seen = augment.move_boxes(np.array([[0, 2, 3, 1, 8, 15]], float), mirror, 0, (1, 20, 20))
    np.testing.assert_allclose(edges, [[0, 2, 5, 1, 8, 17]])
    assert seen.all()
    monkeypatch.setattr(augment, "move", lambda labels, draws: labels)
    assert not together()


def test_a_box_that_leaves_the_picture_is_not_seen():
    draws = only(1, offset=[[0.5, 0.0, 0.0]])
    edges, seen = augment.move_boxes(np.array([[0, 4, 2, 1, 8, 6], [0, 4, 14, 1, 8, 18]], float), draws, 0, (1, 20, 20))
    assert seen.tolist() == [False, True]
    np.testing.assert_allclose(edges[1], [0, 4, 4, 1, 8, 8])
