"""A pretrained network as it is: its maps, from any stages, averaged over the picture or over its regions and views.

The middle stages say most on medical pictures, which look little like those that the network has learnt from. Nothing is learnt
from the images: the state is the network itself as ONNX, so that worker processes and saved models need no torch.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from medloop import registry
from medloop.compute import Compute
from medloop.errors import InputError
from medloop.features._contract import Block, Rows, State
from medloop.features._pixels import bytes_of, clean, scaled
from medloop.networks import running
from medloop.prepared.arrays import PreparedArrays
from medloop.types import Array

VERSION = 1
_SMALLEST = 8
_CHECKED = 2
_KEPT = 8
_AXES, _VIEWS, _JOINS = "zyx", (1, 2, 4, 8), ("mean", "each")
_eyes: OrderedDict[str, dict[str, Array]] = OrderedDict()


@dataclass(frozen=True)
class Params:
    """``backbone``: timm's name. ``weights``: ``pretrained`` or the path of a file. ``side``: pixels of the longer side of what the
    network sees. ``level``: each image is brought to the same mean and deviation first. ``stages``: which maps, shallow to deep,
    from 0; ``()`` is all. ``regions``: sides of grids; ``(1, 2)`` is the whole and its quarters. ``views``: 1; 2: mirrored too; 4:
    and upside down; 8: and turned. ``join``: views are averaged (``mean``) or lie side by side (``each``). ``slices``: of a volume,
    evenly spaced along each of its ``axes``; 0: its mean along the axis, as one picture."""

    backbone: str = "tf_efficientnet_lite0"
    weights: str = "pretrained"
    side: int = 112
    level: bool = False
    stages: tuple[int, ...] = ()
    regions: tuple[int, ...] = (1,)
    views: int = 1
    join: str = "mean"
    slices: int = 8
    axes: str = "z"


CHOICES: tuple[Params, ...] = ()


def suits(arrays: PreparedArrays) -> bool:
    """Pictures and volumes of at least 8 pixels a side."""
    return min(arrays.shape[2:]) >= _SMALLEST


def source(arrays: PreparedArrays, params: Params) -> str:
    """What answers depend on besides the parameters: the shape of what is shown, the file of the weights, bfloat16 or float32."""
    file = Path(params.weights)
    weights = _digest(file, file.stat().st_mtime_ns) if file.is_file() else ""
    return f"{_shown(arrays.shape, params)} {weights} {running.precision()}"


def fit(arrays: PreparedArrays, indices: Array, params: Params, seed: int, compute: Compute) -> dict[str, Array]:
    """The network, cut off behind the deepest wanted stage, as ONNX; checked against torch on some of the images.

    Raises `InputError` for a backbone, weights or stages that are not there, and for parameters that mean nothing.
    """
    del seed, compute
    _refuse_nonsense(params)
    eye = (params.backbone, params.weights, params.side, params.level, params.stages, params.regions)
    key = f"{eye} {source(arrays, params)}"
    if key not in _eyes:
        _eyes[key] = _exported(_pictures(arrays.take(indices[:_CHECKED]), params)[0][:_CHECKED], params)
        while len(_eyes) > _KEPT:
            _eyes.popitem(last=False)
    return _eyes[key] | {"volume": np.array([arrays.shape[1] > 1], np.uint8)}


def extract(batch: Array, params: Params, state: State) -> Rows:
    """``(N, C, Z, Y, X)`` to ``(N, D)``. Of a volume: for each axis the mean over its slices, then their deviation."""
    rows = [_viewed(images, params, state) for images in _pictures(batch, params)]
    if batch.shape[2] == 1:
        return clean(rows[0])
    if params.slices == 0:
        return clean(np.concatenate(rows, axis=1))
    each = [found.reshape(len(batch), -1, found.shape[1]) for found in rows]
    return clean(np.concatenate([part for found in each for part in (found.mean(axis=1), found.std(axis=1))], axis=1))


def blocks(params: Params, state: State) -> tuple[Block, ...]:
    """The columns that belong together, in order: by stage and region, for each view if they are apart, for each axis."""
    base = [Block(f"stage {stage}" + (f" {side}x{side}" if side > 1 else ""), int(width)) for stage, side, width in state["blocks"]]
    if params.join == "each":
        base = [Block(f"{block.name} view {view}", block.width) for view in range(params.views) for block in base]
    if not state["volume"][0]:
        return tuple(base)
    kinds = [f"{axis} {kind}" for axis in params.axes for kind in (("mean", "deviation") if params.slices else ("projected",))]
    return tuple(Block(f"{block.name} across {kind}", block.width) for kind in kinds for block in base)


def _exported(images: Array, params: Params) -> dict[str, Array]:
    """ONNX of backbone and pooling, and the stage, region and width of each block of its answer."""
    backbones, necks, onnx = (registry.load("networks", name) for name in ("backbones", "necks", "onnx"))
    spec = backbones.BackboneSpec(params.backbone, params.side, params.stages, params.level, params.weights)
    backbone = backbones.build(spec)
    module = backbones.torch.nn.Sequential(backbone, necks.Pool(backbone.channels, params.regions)).eval()
    content = onnx.write(module, images.shape[1:], ["rows"])
    onnx.check(content, module, images)
    stages = params.stages or tuple(range(len(backbone.channels)))
    told = [
        (stage, side, 2 * channels * side * side)
        for stage, channels in zip(stages, backbone.channels, strict=True)
        for side in params.regions
    ]
    return {"onnx": np.frombuffer(content, np.uint8), "blocks": np.array(told, np.int64)}


def _viewed(images: Array, params: Params, state: State) -> Rows:
    """``(M, C, y, x)`` to ``(M, D)``, over all views."""
    found = [running.run(np.asarray(state["onnx"]), _turned(images, view), rounded=True)[0] for view in range(params.views)]
    rows: Rows = np.concatenate(found, axis=1) if params.join == "each" else np.mean(found, axis=0)
    return rows


def _turned(images: Array, view: int) -> Array:
    """One of eight views: bit 0 mirrors, bit 1 puts upside down, bit 2 swaps rows and columns."""
    images = images[..., ::-1] if view & 1 else images
    images = images[..., ::-1, :] if view & 2 else images
    return np.swapaxes(images, -1, -2) if view & 4 else images


def _pictures(batch: Array, params: Params) -> list[Array]:
    """What the network is shown: pictures ``(N, C, y, x)``, or for each axis slices of volumes, ``(N * slices, C, y, x)``."""
    pixels = _three(bytes_of(batch))
    size = _shown(batch.shape[1:], params)[1:]
    if batch.shape[2] == 1:
        return [_squared(pixels[:, :, 0], size)]
    return [_slices(pixels, _AXES.index(axis) + 2, params.slices, size) for axis in params.axes]


def _shown(shape: tuple[int, ...], params: Params) -> tuple[int, int, int]:
    """Channels, rows and columns of a picture as the network takes it: a square where it is turned or where planes are mixed."""
    channels, depth, rows, columns = shape
    sides = (rows, columns) if depth == 1 or params.axes == "z" else (depth, rows, columns)
    square = params.views > 4 or len(sides) > 2
    return (1 if channels == 1 else 3, *((max(sides),) * 2 if square else (rows, columns)))


def _three(pixels: Array) -> Array:
    """One channel, or three: two with their mean between them; more than three in three groups, each its mean."""
    count = pixels.shape[1]
    if count in (1, 3):
        return pixels
    groups = [(0,), (0, 1), (1,)] if count == 2 else np.array_split(np.arange(count), 3)
    return np.stack([np.rint(pixels[:, list(group)].mean(axis=1)).astype(np.uint8) for group in groups], axis=1)


def _squared(images: Array, size: tuple[int, int]) -> Array:
    """The border's values go on to all sides until the pictures are of ``size``."""
    room = [wanted - got for wanted, got in zip(size, images.shape[2:], strict=True)]
    return images if not any(room) else np.pad(images, [(0, 0), (0, 0), *((each // 2, each - each // 2) for each in room)], "edge")


def _slices(volumes: Array, axis: int, count: int, size: tuple[int, int]) -> Array:
    """``(N, C, Z, Y, X)`` to ``(N * slices, C, y, x)``: evenly spaced planes across an axis, in the size asked for."""
    if count == 0:
        planes = _projected(volumes, axis)
    else:
        where = np.unique(np.rint((np.arange(count) + 0.5) / count * volumes.shape[axis] - 0.5).astype(int))
        planes = np.moveaxis(volumes.take(where, axis=axis), axis, 1)
    flat = planes.reshape(-1, *planes.shape[-2:])
    return np.stack([scaled(plane, size[1], size[0]) for plane in flat]).reshape(-1, volumes.shape[1], *size)


def _projected(volumes: Array, axis: int) -> Array:
    """``(N, C, Z, Y, X)`` to ``(N, 1, C, y, x)``: the mean along an axis, its brightest pixel white."""
    found = volumes.mean(axis=axis, dtype=np.float32)
    brightest = np.maximum(found.max(axis=(1, 2, 3), keepdims=True), 1)
    shown: Array = np.rint(found * (255 / brightest)).astype(np.uint8)[:, None]
    return shown


def _refuse_nonsense(params: Params) -> None:
    good = {
        "views": params.views in _VIEWS,
        "join": params.join in _JOINS,
        "regions": bool(params.regions) and min(params.regions) >= 1,
        "slices": params.slices >= 0,
        "axes": bool(params.axes) and set(params.axes) <= set(_AXES) and len(set(params.axes)) == len(params.axes),
        "side": params.side >= _SMALLEST,
    }
    if wrong := [name for name, fits in good.items() if not fits]:
        raise InputError(
            "bad-feature",
            got=f"The feature 'network' has {wrong[0]} = {getattr(params, wrong[0])!r}.",
            allowed="views 1, 2, 4 or 8; join mean or each; regions from 1; slices from 0; axes among z, y, x; side from 8 pixels.",
            fix="Mend the recipe.",
        )


@lru_cache(maxsize=_KEPT)
def _digest(file: Path, changed: int) -> str:
    """Hash of a file; ``changed`` is the time of its last change."""
    del changed
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
