"""Near copies: recall on changed cell photographs, false pairs among 10,000 different pictures, time; beside a perceptual hash.

The copies: 300 photographs turned, flipped, saved as JPEG of quality 70, scaled by 0.5 to 2, and all of it at once.
The different pictures: chest X-rays (training and validation, each content once), blood-smear photographs cut into tiles that do
not overlap, middle slices of adrenal glands (one a gland), and generated clouds for the rest.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator, Sequence

import cv2
import imagehash
import numpy as np
import PIL.Image

from bench.core import Row, shared
from medloop.compute.local import Compute
from medloop.dataset import duplicates
from medloop.prepared.pictures import Pictures, picture_of
from medloop.types import Array, Image, ImageRef

DIFFERENT = 10_000
_BITS = 10
_HASH = "64-bit perceptual hash, distance 10"


def rows() -> list[Row]:
    """Recall, false pairs and seconds, each beside the hash."""
    ours, theirs, copies = _recall()
    pictures = list(_different())
    table, hashes = _table(pictures), _hashes(pictures)
    start = time.perf_counter()
    with Compute() as compute:
        false = len(duplicates.find(table, _refs(len(table)), compute=compute))
    seconds = time.perf_counter() - start
    start = time.perf_counter()
    accused = int(np.triu(_distances(hashes, hashes) <= _BITS, 1).sum())
    plain = time.perf_counter() - start
    return [
        Row(
            what="near copies: recall",
            figure=ours,
            unit="share",
            baseline=_HASH,
            baseline_figure=theirs,
            ratio=(1 - theirs) / max(1 - ours, 1 / copies),
            seeds=[0],
            notes=f"{copies} copies; ratio: copies missed",
        ),
        Row(
            what="near copies: false pairs among 10,000 different pictures",
            figure=false,
            unit="pairs",
            baseline=_HASH,
            baseline_figure=accused,
            ratio=accused / max(false, 1),
            seeds=[0],
        ),
        Row(
            what="near copies: time to search 10,000 decoded pictures",
            figure=seconds,
            unit="s",
            baseline=f"{_HASH} (search only)",
            baseline_figure=plain,
        ),
    ]


def _recall() -> tuple[float, float, int]:
    """Shares of copies that are paired with their original, by us and by the hash, and how many copies there are."""
    files = sorted(shared("wbc").rglob("*.bmp"))
    originals = [np.asarray(PIL.Image.open(file).convert("RGB")) for file in files]
    table, hashes = _table(originals), _hashes(originals)
    ours = theirs = copies = 0
    with Compute(0) as compute:
        for change in _changes():
            changed = [change(picture) for picture in originals]
            both = Pictures.join([table, _table(changed)])
            pairs = {(pair.a, pair.b) for pair in duplicates.find(both, _refs(len(both)), compute=compute)}
            ours += sum((at, at + len(originals)) in pairs for at in range(len(originals)))
            theirs += int((np.diag(_distances(hashes, _hashes(changed))) <= _BITS).sum())
            copies += len(originals)
    return ours / copies, theirs / copies, copies


def _changes() -> Iterator[Callable[[Array], Array]]:
    random = np.random.default_rng(0)
    for turns in range(1, 8):
        yield lambda picture, turns=turns: _turned(picture, turns)
    yield _jpeg
    for factor in (0.5, 0.6, 0.75, 1.5, 2.0):
        yield lambda picture, factor=factor: _scaled(picture, factor)
    for _ in range(8):
        yield lambda picture: _jpeg(_scaled(_turned(picture, int(random.integers(8))), random.uniform(0.5, 2)))


def _turned(picture: Array, way: int) -> Array:
    turned = np.rot90(picture, way % 4)
    return np.ascontiguousarray(turned[:, ::-1] if way >= 4 else turned)


def _scaled(picture: Array, factor: float) -> Array:
    height, width = picture.shape[:2]
    size = (round(width * factor), round(height * factor))
    return np.asarray(PIL.Image.fromarray(picture).resize(size, PIL.Image.Resampling.BICUBIC))


def _jpeg(picture: Array) -> Array:
    stream = io.BytesIO()
    PIL.Image.fromarray(picture).save(stream, "JPEG", quality=70)
    return np.asarray(PIL.Image.open(stream))


def _different() -> Iterator[Array]:
    chests: dict[bytes, Array] = {}
    with np.load(shared("pneumoniamnist_rebuilt.npz")) as file:
        for split in ("train", "val"):
            chests |= {picture.tobytes(): picture for picture in file[f"{split}_images"]}
    with np.load(shared("adrenalmnist3d.npz")) as file:
        glands = np.concatenate([file["train_images"], file["val_images"]])
    slices = [gland[int(gland.sum(axis=(1, 2)).argmax())] for gland in glands]
    known = [*chests.values(), *{picture.tobytes(): picture for picture in slices}.values(), *_tiles()][:DIFFERENT]
    yield from known
    random = np.random.default_rng(0)
    for _ in range(DIFFERENT - len(known)):
        clouds = sum(cv2.resize(random.normal(size=(n, n)), (96, 96), interpolation=cv2.INTER_CUBIC) for n in (4, 9, 20))
        yield np.clip(128 + 40 * clouds, 0, 255).astype(np.uint8)


def _tiles(side: int = 160) -> Iterator[Array]:
    for file in sorted(shared("bccd").rglob("*.jpg")):
        smear = np.asarray(PIL.Image.open(file).convert("RGB"))
        for top in range(0, smear.shape[0] - side + 1, side):
            for left in range(0, smear.shape[1] - side + 1, side):
                yield smear[top : top + side, left : left + side]


def _table(pictures: Sequence[Array]) -> Pictures:
    return Pictures.of(picture_of(_image(picture)) for picture in pictures)


def _image(picture: Array) -> Image:
    if picture.ndim == 2:
        return Image(pixels=picture[None, None, None])
    return Image(pixels=np.ascontiguousarray(np.moveaxis(picture, -1, 0)[None, :, None]), colour=True)


def _hashes(pictures: Sequence[Array]) -> Array:
    return np.stack([imagehash.phash(PIL.Image.fromarray(picture)).hash.ravel() for picture in pictures]).astype(np.float32)


def _distances(a: Array, b: Array) -> Array:
    return a @ (1 - b.T) + (1 - a) @ b.T


def _refs(count: int) -> list[ImageRef]:
    return [ImageRef(name=str(at), reader="raster", files=(f"{at}.png",)) for at in range(count)]
