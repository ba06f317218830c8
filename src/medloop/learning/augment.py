"""Changed copies of pictures, so that a network learns what does not matter.

Sampling is apart from applying: `draw` makes every random number from ``(seed, epoch, place in the epoch)``, `Draws` records them
as JSON, `apply` is a deterministic function of pixels and draws. A picture's own changes do not depend on how the epoch is cut
into batches; only its mixup partner, which comes from the same batch, does. Cut-out: DeVries and Taylor 2017 (with the mean of
the picture). Mixup: Zhang et al., ICLR 2018.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import special
from torch import Tensor
from torch.nn import functional

from medloop.errors import InputError, unknown_name
from medloop.types import UNKNOWN, Floats, Json

AXES = ("z", "y", "x")
_SIDED = {"left", "right", "l", "r", "laterality"}
_LEAST_HOLE = 0.3
_COLUMNS = 32
_PER_STEP = 4  # numbers that one step of the Philox counter gives


@dataclass(frozen=True, kw_only=True, slots=True)
class Augmentation:
    """How far each change may go; 0 leaves it out. Grey values are of 0 to 255.

    Geometry, in every picture: ``turn`` degrees either way (in the plane), ``tilt`` degrees about the two other axes (volumes),
    ``scale`` 0.1 for a tenth smaller to larger, ``shift`` as a share of the side, ``flips`` the axes (``z``, ``y``, ``x``) along
    which a mirror image is as good, ``quarters`` whether quarter turns are. What comes in from outside is a mirror image of the
    border.

    Values, each in a share ``chance`` of pictures: ``blur`` (Gaussian, up to so many pixels), else ``sharpen`` (unsharp mask, up
    to that strength); ``brightness`` (grey values up or down), ``contrast`` (0.2 for a fifth less to more), ``gamma`` (0.2:
    exponent 0.8 to 1.25); ``noise`` (Gaussian, up to that standard deviation); ``cut_out`` (a box of 0.3 to 1 times that share of
    each side).

    ``mixup``: both parameters of the beta distribution of shares; all pictures of a batch are mixed with one another.
    """

    turn: float = 0.0
    tilt: float = 0.0
    scale: float = 0.0
    shift: float = 0.0
    flips: tuple[str, ...] = ()
    quarters: bool = False
    blur: float = 0.0
    sharpen: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    gamma: float = 0.0
    noise: float = 0.0
    cut_out: float = 0.0
    mixup: float = 0.0
    chance: float = 0.5

    def to_json(self) -> Json:
        """Plain JSON."""
        return {**asdict(self), "flips": list(self.flips)}

    @staticmethod
    def from_json(content: Mapping[str, Json]) -> Augmentation:
        """The inverse of `to_json`; what is left out is off. Raises `InputError` for unknown names and impossible values."""
        known = {each.name for each in fields(Augmentation)}
        for name in content:
            if name not in known:
                raise unknown_name("augmentation", name, known)
        found = {name: _checked(name, value) for name, value in content.items()}
        return Augmentation(**found)


NOTHING = Augmentation()


def _checked(name: str, value: Json) -> Any:
    """A setting in its own type. Raises `InputError`."""
    if name == "flips":
        if isinstance(value, list | tuple) and set(value) <= set(AXES):
            return tuple(axis for axis in AXES if axis in value)
        raise _wrong(name, value, f"a list of {', '.join(AXES)}")
    if name == "quarters":
        if isinstance(value, bool):
            return value
        raise _wrong(name, value, "true or false")
    most = {"chance": 1.0, "scale": 0.9, "contrast": 1.0, "gamma": 0.95, "shift": 1.0, "cut_out": 1.0}.get(name, 1000.0)
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= most:
        return float(value)
    raise _wrong(name, value, f"a number from 0 to {most:g}")


def _wrong(name: str, value: Json, allowed: str) -> InputError:
    return InputError(
        "augmentation",
        got=f"The augmentation '{name}' is {value!r}.",
        allowed=f"{allowed}.",
        fix=f"Correct '{name}' in the recipe.",
    )


def default(*, colour: bool, volume: bool = False, binary: bool = False, classes: Sequence[str] = ()) -> Augmentation:
    """What suits a kind of image.

    Anatomy (grey): small turns, shifts and scalings, left-right flips unless a class is named after a side, never upside down.
    Cells and tissue (``colour``, flat): every turn and flip. Shapes (``binary``): geometry only.
    """
    sided = any(word in _SIDED for name in classes for word in name.lower().replace("-", " ").replace("_", " ").split())
    mirror = () if sided else ("x",)
    small = Augmentation(turn=10.0, scale=0.1, shift=0.06, flips=mirror)
    if volume:
        small = replace(small, tilt=8.0)
    if binary:
        return small
    grey = replace(small, blur=0.8, sharpen=0.5, brightness=16.0, contrast=0.2, gamma=0.2, noise=6.0)
    if colour and not volume:
        return replace(grey, turn=180.0, flips=() if sided else ("y", "x"), quarters=True, shift=0.05)
    return grey


@dataclass(frozen=True, slots=True, eq=False)
class Draws:
    """The changes of n pictures, as plain arrays.

    ``matrix``: ``(n, 3, 3)`` float64, takes a place in the new picture to its place in the old one, about the centre, in pixels
    ``(x, y, z)`` before scaling to each side; ``offset``: ``(n, 3)``, in shares of the sides. ``blur``: ``(n,)`` pixels,
    ``sharpen``: ``(n,)`` strength, at most one of them not 0. ``gain``, ``bias``, ``exponent``, ``noise``: ``(n,)``. ``seed``:
    ``(n,)`` int64, of the noise. ``box``: ``(n, 3, 2)``, centre and half width of the hole along z, y, x in shares of the sides
    (half width 0: none). ``partner``: ``(n,)`` int64, and ``share``: ``(n,)``, how much of the picture itself is kept in the
    mixture (at least half).
    """

    matrix: Floats
    offset: Floats
    blur: Floats
    sharpen: Floats
    gain: Floats
    bias: Floats
    exponent: Floats
    noise: Floats
    seed: NDArray[np.int64]
    box: Floats
    partner: NDArray[np.int64]
    share: Floats

    def __len__(self) -> int:
        return len(self.share)

    def select(self, places: NDArray[np.int64]) -> Draws:
        """Those of the pictures at these places, none of which is mixed with another."""
        return Draws(**{each.name: getattr(self, each.name)[places] for each in fields(self)})

    def to_json(self) -> Json:
        """Plain JSON: every number in full."""
        return {each.name: getattr(self, each.name).tolist() for each in fields(self)}

    @staticmethod
    def from_json(content: Mapping[str, Json]) -> Draws:
        """The inverse of `to_json`."""
        n = len(content["share"])
        shapes = {"matrix": (n, 3, 3), "offset": (n, 3), "box": (n, 3, 2)}
        found: dict[str, Any] = {
            each.name: np.array(content[each.name], np.int64 if each.name in ("seed", "partner") else np.float64)
            for each in fields(Draws)
        }
        return Draws(**{name: array.reshape(shapes.get(name, (n,))) for name, array in found.items()})


def draw(n: int, augmentation: Augmentation, seed: int, epoch: int, first: int) -> Draws:
    """The changes of the pictures at places ``first`` to ``first + n - 1`` of an epoch. Depends on nothing else."""
    source = np.random.Philox(key=np.array([seed % 2**64, epoch % 2**64], np.uint64))
    source.advance(first * _COLUMNS // _PER_STEP)
    uniform = np.random.Generator(source).random((n, _COLUMNS))
    both = 2 * uniform - 1
    now = uniform[:, 12:17] < augmentation.chance
    sharper = augmentation.sharpen > 0 and (augmentation.blur == 0 or uniform[:, 17] < 0.5)
    sharper = np.broadcast_to(sharper, (n,))
    half = augmentation.cut_out / 2 * (_LEAST_HOLE + (1 - _LEAST_HOLE) * uniform[:, 26:29])
    holed = uniform[:, 24] < augmentation.chance
    return Draws(
        matrix=_matrices(augmentation, uniform, both),
        offset=augmentation.shift * both[:, 9:12],
        blur=np.where(now[:, 0] & ~sharper, augmentation.blur * uniform[:, 18], 0.0),
        sharpen=np.where(now[:, 0] & sharper, augmentation.sharpen * uniform[:, 18], 0.0),
        gain=np.where(now[:, 1], 1 + augmentation.contrast * both[:, 19], 1.0),
        bias=np.where(now[:, 2], augmentation.brightness * both[:, 20], 0.0),
        exponent=np.where(now[:, 3], (1 - augmentation.gamma) ** both[:, 21], 1.0),
        noise=np.where(now[:, 4], augmentation.noise * uniform[:, 22], 0.0),
        seed=(uniform[:, 23] * 2**53).astype(np.int64),
        box=np.stack([uniform[:, 29:32], half * holed[:, None]], axis=-1),
        partner=_partners(uniform[:, 7]) if augmentation.mixup > 0 else np.arange(n),
        share=_shares(uniform[:, 8], augmentation.mixup),
    )


def _matrices(augmentation: Augmentation, uniform: Floats, both: Floats) -> Floats:
    """``(n, 3, 3)``: turns, scalings and flips in one."""
    n = len(uniform)
    quarter = 90 * np.floor(4 * uniform[:, 0]) if augmentation.quarters else np.zeros(n)
    about_z = np.deg2rad(quarter + augmentation.turn * both[:, 1])
    about_y, about_x = np.deg2rad(augmentation.tilt * both[:, 2]), np.deg2rad(augmentation.tilt * both[:, 3])
    size = (1 + augmentation.scale) ** both[:, 31]
    flipped = np.stack(
        [np.where((axis in augmentation.flips) & (uniform[:, 4 + k] < 0.5), -1.0, 1.0) for k, axis in enumerate("xyz")]
    )
    turned = _about(0, 1, about_z) @ _about(0, 2, about_y) @ _about(1, 2, about_x)
    return np.asarray(turned * (flipped.T / size[:, None])[:, :, None])


def _about(first: int, second: int, angles: Floats) -> Floats:
    """Turns ``(n, 3, 3)`` from axis ``first`` towards axis ``second``."""
    out = np.tile(np.eye(3), (len(angles), 1, 1))
    out[:, first, first] = out[:, second, second] = np.cos(angles)
    out[:, first, second], out[:, second, first] = -np.sin(angles), np.sin(angles)
    return out


def _partners(keys: Floats) -> NDArray[np.int64]:
    """Another picture of the batch for each (itself where it is alone): the next one in a random round."""
    round_ = np.argsort(keys, kind="stable")
    partner = np.empty(len(keys), np.int64)
    partner[round_] = np.roll(round_, -1)
    return partner


def _shares(uniform: Floats, alpha: float) -> Floats:
    if alpha <= 0:
        return np.ones(len(uniform))
    share = special.betaincinv(alpha, alpha, uniform)
    return np.asarray(np.maximum(share, 1 - share))


def apply(batch: Tensor, draws: Draws) -> Tensor:
    """The changed pictures, float32 within 0 to 255.

    ``batch``: ``(N, C, Y, X)`` or ``(N, C, Z, Y, X)``, uint8 or floating 0 to 255, one picture a draw. The result has its shape
    and device.
    """
    if len(batch) != len(draws):
        raise ValueError(f"{len(batch)} pictures, {len(draws)} draws")
    pixels = _moved(batch.to(torch.float32, copy=True), draws)
    for change in (_filter, _values, _noise, _holes):
        change(pixels, draws)
    if (draws.share < 1).any():
        share = _column(draws.share, pixels)
        pixels = share * pixels + (1 - share) * pixels[torch.as_tensor(draws.partner, device=pixels.device)]
    return pixels


def _column(values: Floats, like: Tensor) -> Tensor:
    """One number a picture, ready to be multiplied with pictures."""
    return torch.as_tensor(values, dtype=torch.float32, device=like.device).reshape(-1, *[1] * (like.ndim - 1))


def _moved(pixels: Tensor, draws: Draws) -> Tensor:
    """All geometry in one resampling."""
    grid = _grid(pixels.shape[2:], draws, pixels.device)
    if grid is None:
        return pixels
    return functional.grid_sample(pixels, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def _grid(shape: Sequence[int], draws: Draws, device: torch.device) -> Tensor | None:
    """Where each pixel of the new pictures comes from, ``(N, ..., 2 or 3)`` of -1 to 1; None where nothing moves."""
    axes = len(shape)
    matrix, offset = draws.matrix[:, :axes, :axes], 2 * draws.offset[:, :axes]
    if (matrix == np.eye(axes)).all() and not offset.any():
        return None
    sides = np.array(shape[::-1], np.float64)
    theta = np.concatenate([matrix * sides[None, None, :] / sides[None, :, None], offset[:, :, None]], axis=2)
    size = [len(draws), 1, *shape]
    return functional.affine_grid(torch.as_tensor(theta, dtype=torch.float32, device=device), size, align_corners=False)


def move(labels: Tensor, draws: Draws) -> Tensor:
    """Label maps ``(N, Z, Y, X)`` uint8 moved as `apply` moves their pictures, `UNKNOWN` where what is shown comes from outside.

    There `apply` shows a mirror image of the border; nobody has said what that is, and boxes have no mirror images.
    """
    flat = labels.shape[1] == 1
    grid = _grid(labels.shape[2:] if flat else labels.shape[1:], draws, labels.device)
    if grid is None:
        return labels
    maps = labels if flat else labels[:, None]
    moved = functional.grid_sample(maps.float(), grid, mode="nearest", padding_mode="border", align_corners=False)
    outside = (grid.abs() > 1).any(dim=-1)[:, None]
    return torch.where(outside, UNKNOWN, moved).to(torch.uint8).reshape(labels.shape)


def move_boxes(boxes: Floats, draws: Draws, place: int, sides: Sequence[int]) -> tuple[Floats, NDArray[np.bool_]]:
    """Boxes ``(k, 6)`` of the picture at ``place`` moved as `apply` moves it, cut to it, and which of them are still to be seen.

    ``sides``: ``(Z, Y, X)``. Boxes: ``z0, y0, x0, z1, y1, x1``, edges in voxels. What turns is the ellipse in the box, for findings
    are round rather than square. A box is seen whose centre lies within.
    """
    size = np.array(sides, np.float64)[::-1]
    axes = 2 if sides[0] == 1 else 3
    inverse = np.eye(3)
    inverse[:axes, :axes] = np.linalg.inv(draws.matrix[place][:axes, :axes])
    offset = np.where(np.arange(3) < axes, draws.offset[place] * size, 0.0)
    low, high = boxes[:, 2::-1], boxes[:, :2:-1]
    centre = ((low + high) / 2 - size / 2 - offset) @ inverse.T + size / 2
    half = np.sqrt(((high - low) / 2) ** 2 @ (inverse**2).T)
    seen = np.asarray(((centre >= 0) & (centre < size)).all(axis=1), bool)
    moved = np.concatenate([np.clip(centre - half, 0, size)[:, ::-1], np.clip(centre + half, 0, size)[:, ::-1]], axis=1)
    return moved, seen


def _filter(pixels: Tensor, draws: Draws) -> None:
    """In place, blurred or sharpened: the picture's low frequencies, or the picture with what they lack added again."""
    rows = np.flatnonzero((draws.blur > 0) | (draws.sharpen > 0))
    if not len(rows):
        return
    chosen = torch.as_tensor(rows, device=pixels.device)
    low = wanted = pixels[chosen]
    width = np.where(draws.blur[rows] > 0, draws.blur[rows], 1.0)
    for axis in range(2, pixels.ndim):
        side = pixels.shape[axis]
        smooth = _smoothing(width, side, pixels).reshape(len(rows), *[1] * (pixels.ndim - 3), side, side)
        low = (low.transpose(axis, -1) @ smooth).transpose(axis, -1)
    strength = _column(draws.sharpen[rows], pixels)
    pixels.index_copy_(0, chosen, torch.where(strength > 0, wanted + strength * (wanted - low), low))


def _smoothing(width: Floats, side: int, like: Tensor) -> Tensor:
    """``(n, side, side)``: Gaussian means along one axis as matrices; columns add up to one, so borders keep their level."""
    place = torch.arange(side, dtype=torch.float32, device=like.device)
    spread = torch.as_tensor(width, dtype=torch.float32, device=like.device)[:, None, None]
    weights = torch.exp(-0.5 * ((place[:, None] - place[None, :]) / spread.clamp(min=1e-3)) ** 2)
    return weights / weights.sum(dim=1, keepdim=True)


def _values(pixels: Tensor, draws: Draws) -> None:
    """In place: contrast about the picture's mean, brightness, gamma; then within 0 to 255."""
    if (draws.gain != 1).any() or draws.bias.any():
        gain = _column(draws.gain, pixels)
        mean = pixels.mean(dim=tuple(range(1, pixels.ndim)), keepdim=True)
        pixels.mul_(gain).add_(mean * (1 - gain) + _column(draws.bias, pixels))
    pixels.clamp_(0, 255)
    if (draws.exponent != 1).any():
        exponent = _column(draws.exponent, pixels)
        pixels.pow_(exponent).mul_(255 ** (1 - exponent))


def _noise(pixels: Tensor, draws: Draws) -> None:
    """In place: Gaussian noise, the same on every device."""
    rows = np.flatnonzero(draws.noise)
    if not len(rows):
        return
    noise = torch.zeros(pixels.shape)
    for row in rows:
        noise[int(row)].normal_(std=float(draws.noise[row]), generator=torch.Generator().manual_seed(int(draws.seed[row])))
    pixels.add_(noise.to(pixels.device)).clamp_(0, 255)


def _holes(pixels: Tensor, draws: Draws) -> None:
    """In place: a box of each picture's own mean."""
    sides = np.array(pixels.shape[2:])
    for row in np.flatnonzero(draws.box[:, 1:, 1].all(axis=1)):
        picture, box = pixels[int(row)], draws.box[row, -len(sides) :]
        low, high = np.floor((box[:, 0] - box[:, 1]) * sides).clip(0), np.ceil((box[:, 0] + box[:, 1]) * sides)
        where = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
        picture[(slice(None), *where)] = picture.mean(dim=tuple(range(1, picture.ndim)), keepdim=True)


def mixed(targets: Tensor, draws: Draws) -> Tensor:
    """Targets ``(N, ...)`` floating (class shares, labels, numbers) of mixed pictures; NaN, unknown, where either is unknown."""
    if not (draws.share < 1).any():
        return targets
    share = _column(draws.share, targets)
    partners = targets[torch.as_tensor(draws.partner, device=targets.device)]
    return torch.where(share < 1, share * targets + (1 - share) * partners, targets)


def examples(pixels: NDArray[np.uint8], augmentation: Augmentation, copies: int, seed: int) -> NDArray[np.uint8]:
    """``(n, copies, C, ...)``: changed copies of each of n pictures ``(n, C, ...)``, drawn as for a first epoch, to look at."""
    batch = torch.from_numpy(np.repeat(pixels, copies, axis=0))
    changed = apply(batch, draw(len(batch), augmentation, seed, 0, 0))
    return np.asarray(changed.round().to(torch.uint8).numpy().reshape(len(pixels), copies, *pixels.shape[1:]))
