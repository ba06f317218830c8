from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import pytest
import scipy.fft

from medloop.compute.local import Compute
from medloop.dataset import duplicates
from medloop.dataset.duplicates import Pair, Proposals
from medloop.prepared.pictures import Pictures, picture_of
from medloop.types import Array, Image, ImageRef


def image(pixels: Array) -> Image:
    """``(Y, X)``, ``(Y, X, 3)`` or ``(Z, Y, X)`` with more than 3 columns as an image."""
    if pixels.ndim == 3 and pixels.shape[-1] == 3:
        return Image(pixels=np.ascontiguousarray(np.moveaxis(pixels, -1, 0)[None, :, None]), colour=True)
    return Image(pixels=pixels[None, None] if pixels.ndim == 3 else pixels[None, None, None])


def table(pictures: Sequence[Array]) -> Pictures:
    return Pictures.of(picture_of(image(pixels)) for pixels in pictures)


def refs(count: int, **facts: str) -> list[ImageRef]:
    return [ImageRef(name=f"{at}.png", reader="raster", files=(f"/scans/{at}.png",), **facts) for at in range(count)]


def scene(seed: int, height: int = 120, width: int = 100) -> Array:
    """A picture like no other: clouds of several sizes."""
    random = np.random.default_rng(seed)
    clouds = sum(cv2.resize(random.normal(size=(n, n)), (width, height), interpolation=cv2.INTER_CUBIC) for n in (4, 9, 20))
    return np.clip(128 + 40 * clouds, 0, 255).astype(np.uint8)


def chest(seed: int) -> Array:
    """Pictures that are alike by nature: the same anatomy in the large, details of their own."""
    anatomy = np.random.default_rng(0).normal(0, 45, (6, 6))
    details = np.random.default_rng(1000 + seed).normal(0, 20, (16, 16))
    both = [cv2.resize(part, (28, 28), interpolation=cv2.INTER_CUBIC) for part in (anatomy, details)]
    return np.clip(128 + both[0] + both[1], 0, 255).astype(np.uint8)


def jpeg(pixels: Array, quality: int = 70) -> Array:
    stream = io.BytesIO()
    PIL.Image.fromarray(pixels).save(stream, "JPEG", quality=quality)
    return np.asarray(PIL.Image.open(stream))


def scaled(pixels: Array, by: float) -> Array:
    return np.asarray(cv2.resize(pixels, None, fx=by, fy=by, interpolation=cv2.INTER_CUBIC))


COPIES: dict[str, Callable[[Array], Array]] = {
    "quarter turn": lambda pixels: np.rot90(pixels).copy(),
    "three quarters": lambda pixels: np.rot90(pixels, 3).copy(),
    "flip": lambda pixels: pixels[:, ::-1].copy(),
    "JPEG": jpeg,
    "half": lambda pixels: scaled(pixels, 0.5),
    "double": lambda pixels: scaled(pixels, 2),
    "all at once": lambda pixels: jpeg(scaled(np.rot90(pixels)[::-1].copy(), 0.7)),
    "squeezed": lambda pixels: np.asarray(cv2.resize(pixels, (90, 90), interpolation=cv2.INTER_AREA)),
    "16 bits": lambda pixels: pixels.astype(np.uint16) * 257,
    "grey as colour": lambda pixels: np.stack([pixels, pixels, (pixels * 0.9).astype(np.uint8)], axis=2),
}


@pytest.fixture
def alone() -> Iterator[Compute]:
    with Compute(0) as compute:
        yield compute


@pytest.mark.parametrize("name", COPIES)
def test_a_copy_is_seen_through(name: str, alone: Compute) -> None:
    others = [scene(seed) for seed in range(40)]
    found = duplicates.find(table([*others, COPIES[name](others[7])]), refs(41), compute=alone)
    assert [(pair.a, pair.b, pair.kind) for pair in found] == [(7, 40, "near")]
    assert 0.98 <= found[0].correlation <= 1


def test_equal_pixels_are_exact_whatever_the_number_type(alone: Compute) -> None:
    pictures = [scene(0), scene(1), scene(0).astype(np.float32), np.repeat(scene(0)[..., None], 3, axis=2)]
    found = duplicates.find(table(pictures), refs(4), compute=alone)
    assert found == [Pair(0, 2, "exact", 1.0), Pair(0, 3, "exact", 1.0), Pair(2, 3, "exact", 1.0)]


def test_a_copy_of_two_equal_pictures_is_a_copy_of_both(alone: Compute) -> None:
    found = duplicates.find(table([scene(0), scene(0), scene(0).T.copy()]), refs(3), compute=alone)
    assert [(pair.a, pair.b, pair.kind) for pair in found] == [(0, 1, "exact"), (0, 2, "near"), (1, 2, "near")]


def test_pictures_of_one_grey_are_no_copies(alone: Compute) -> None:
    blank = np.zeros((40, 40), np.uint8)
    assert duplicates.find(table([blank, blank, blank + 9]), refs(3), compute=alone) == []
    assert duplicates.find(Pictures.of([]), [], compute=alone) == []


def test_slices_of_one_series_do_not_count_but_a_copied_series_does(alone: Compute) -> None:
    volume = np.stack([scene(0), scene(0), jpeg(scene(0))])
    pictures = table(list(volume))
    assert len(duplicates.find(pictures, refs(3), compute=alone)) == 3
    assert duplicates.find(pictures, refs(3, series="1.2.3"), compute=alone) == []
    here, there = (ImageRef(name=f"{folder}/s", reader="dicom", files=(f"/{folder}/1.dcm",), series="1.2.3") for folder in "ab")
    assert duplicates.find(table([scene(0), scene(0)]), [here, there], compute=alone) == [Pair(0, 1, "exact", 1.0)]
    pages = [ImageRef(name=f"a.tif#{page}", reader="raster", files=("/a.tif",), item=str(page)) for page in range(3)]
    assert duplicates.find(pictures, pages, compute=alone) == []


def test_a_turned_volume_is_seen_through_and_other_volumes_are_not_copies(alone: Compute) -> None:
    volumes = [np.stack([scene(100 * seed + z // 8, 40, 44) for z in range(32)]) for seed in range(6)]
    turned = np.ascontiguousarray(np.transpose(volumes[3], (2, 0, 1))[:, ::-1])
    found = duplicates.find(table([*volumes, turned]), refs(7), compute=alone)
    assert [(pair.a, pair.b, pair.kind) for pair in found] == [(3, 6, "near")]


def test_small_chests_are_seen_through_and_told_apart(alone: Compute) -> None:
    chests = [chest(seed) for seed in range(60)]
    copies = [jpeg(chests[0].T.copy()), scaled(chests[1], 2), cv2.resize(chests[2], (14, 14), interpolation=cv2.INTER_AREA)]
    found = duplicates.find(table([*chests, *copies]), refs(63), compute=alone)
    assert [(pair.a, pair.b) for pair in found] == [(0, 60), (1, 61), (2, 62)]


def test_a_crowd_of_copies_is_one_group_in_bounded_work(alone: Compute) -> None:
    crowd = [jpeg(scene(0), quality) for quality in range(40, 95)] + [scene(0)] * 30 + [scene(1)]
    found = duplicates.find(table(crowd), refs(len(crowd)), compute=alone)
    groups = duplicates.groups(found, len(crowd))
    assert len(set(groups[:-1])) == 1
    assert groups[-1] != groups[0]
    assert len(found) <= 40 * len(crowd)


def by_hash(thumbs: Array) -> Proposals:
    """The common way: 64-bit perceptual hashes that differ in at most 10 bits."""
    small = np.stack([cv2.resize(thumb, (32, 32), interpolation=cv2.INTER_AREA) for thumb in thumbs])
    waves = scipy.fft.dctn(small.astype(np.float32), axes=(1, 2))[:, :8, :8].reshape(-1, 64)
    bits = (waves > np.median(waves, axis=1, keepdims=True)).astype(np.float32)
    distance = bits @ (1 - bits.T) + (1 - bits) @ bits.T
    a, b = np.nonzero(np.triu(distance <= 10, 1))
    return Proposals(a, b, np.zeros(len(a), np.int64))


def believe(proposals: Proposals, *_: object, **__: object) -> Array:
    """The confirming step broken on purpose: every proposal is a copy."""
    return np.ones(len(proposals.a))


def test_alike_by_nature_is_not_a_copy_and_only_the_confirming_step_knows(alone: Compute, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = table([chest(seed) for seed in range(300)])
    assert duplicates.find(pictures, refs(300), compute=alone) == []
    monkeypatch.setattr(duplicates, "propose", by_hash)
    assert duplicates.find(pictures, refs(300), compute=alone) == []
    monkeypatch.setattr(duplicates, "confirm", believe)
    assert len(duplicates.find(pictures, refs(300), compute=alone)) > 100


@pytest.fixture(scope="module")
def chests(shared_data: Path) -> tuple[Pictures, Array]:
    with np.load(shared_data / "pneumoniamnist_rebuilt.npz") as file:
        parts = {split: file[f"{split}_images"] for split in ("train", "val", "test")}
    pictures = Pictures.of(picture_of(image(pixels)) for part in parts.values() for pixels in part)
    return pictures, np.repeat(list(parts), [len(part) for part in parts.values()])


@pytest.mark.shared
def test_the_x_ray_file_has_eight_copies_and_no_test_picture_is_accused(
    chests: tuple[Pictures, Array], alone: Compute, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures, splits = chests

    def crossing(found: list[Pair], one: str, other: str) -> set[int]:
        return {pair.b for pair in found if (splits[pair.a], splits[pair.b]) == (one, other)}

    def check() -> tuple[int, int]:
        found = duplicates.find(pictures, refs(len(pictures)), compute=alone)
        return len(crossing(found, "train", "val")), len(crossing(found, "train", "test") | crossing(found, "val", "test"))

    assert check() == (8, 0)
    monkeypatch.setattr(duplicates, "propose", by_hash)
    assert check() == (8, 0)
    monkeypatch.setattr(duplicates, "confirm", believe)
    assert check()[1] > 400


@pytest.mark.shared
def test_the_cell_photographs_have_the_known_copy_and_cells_photographed_twice(shared_data: Path, alone: Compute) -> None:
    files = sorted((shared_data / "wbc").rglob("*.bmp"))
    pictures = table([np.asarray(PIL.Image.open(file).convert("RGB")) for file in files])
    found = duplicates.find(pictures, refs(len(files)), compute=alone)
    named = [(files[pair.a].stem, files[pair.b].stem, pair.kind) for pair in found]
    assert named == [("112", "139", "exact"), ("157", "158", "near"), ("166", "171", "near")]


@pytest.mark.shared
def test_different_adrenal_glands_are_not_copies(shared_data: Path, alone: Compute) -> None:
    with np.load(shared_data / "adrenalmnist3d.npz") as file:
        glands = file["val_images"]
    assert duplicates.find(table([*glands, np.flip(glands[5], 0).copy()]), refs(len(glands) + 1), compute=alone) == [
        Pair(5, len(glands), "near", 1.0)
    ]
