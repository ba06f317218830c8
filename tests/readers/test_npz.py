"""Files in MedMNIST layout, 2-D and 3-D, whole and streamed."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from medloop import readers
from medloop.errors import InputError, Unreadable
from medloop.readers import npz

RANDOM = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _fresh():
    npz._rows.cache_clear()
    yield
    npz._rows.cache_clear()


@pytest.mark.parametrize(
    ("shape", "item", "colour"),
    [
        ((9, 28, 28), (1, 1, 1, 28, 28), False),
        ((9, 28, 28, 3), (1, 3, 1, 28, 28), True),
        ((9, 12, 10, 8), (1, 1, 12, 10, 8), False),
        ((4, 12, 10, 8, 3), (1, 3, 12, 10, 8), True),
        ((4, 28, 28, 1), (1, 1, 1, 28, 28), False),
    ],
)
@pytest.mark.parametrize("held", [10**9, 0])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_every_layout(tmp_path: Path, gather, monkeypatch, shape, item, colour, held, save):
    monkeypatch.setattr(npz, "HELD_BYTES", held)
    images = {f"{split}_images": RANDOM.integers(0, 256, shape, np.uint8) for split in npz.SPLITS}
    save(tmp_path / "m.npz", **images, train_labels=np.zeros((shape[0], 1)))
    found = gather(tmp_path / "m.npz")
    assert len(found.refs) == 3 * shape[0]
    assert len({ref.stamp for ref in found.refs}) == len(found.refs)
    for ref, image in zip(found.refs, readers.read_many(found.refs), strict=True):
        split, index = ref.item.split("/")
        assert ref.name == f"m.npz#{split}/{index}"
        stored = images[f"{split}_images"][int(index)]
        expected = stored.reshape(*item[2:], item[1])
        assert (image.pixels.shape, image.colour) == (ref.shape, colour)
        assert np.array_equal(image.pixels[0], expected.transpose(3, 0, 1, 2))


def test_streaming_reads_in_any_order(tmp_path: Path, gather, monkeypatch):
    monkeypatch.setattr(npz, "HELD_BYTES", 0)
    images = RANDOM.integers(0, 256, (50, 9, 9), np.uint8)
    np.savez_compressed(tmp_path / "m.npz", train_images=images)
    refs = list(gather(tmp_path).refs)
    order = RANDOM.permutation(50)
    for index, image in zip(order, readers.read_many([refs[index] for index in order]), strict=True):
        assert np.array_equal(image.pixels[0, 0, 0], images[index])


def test_a_split_is_opened_once(tmp_path: Path, gather, monkeypatch):
    opened = []
    real = npz._Rows
    monkeypatch.setattr(npz, "_Rows", lambda *how: opened.append(how) or real(*how))
    np.savez_compressed(tmp_path / "m.npz", train_images=np.zeros((40, 9, 9), np.uint8), test_images=np.ones((5, 9, 9), np.uint8))
    assert len(list(readers.read_many(gather(tmp_path).refs))) == 45
    assert len(opened) == 2


def test_a_changed_file_is_opened_anew(tmp_path: Path, gather):
    path = tmp_path / "m.npz"
    np.savez(path, train_images=np.zeros((4, 9, 9), np.uint8))
    before = gather(path).refs[0]
    assert not readers.read(before).pixels.any()
    np.savez(path, train_images=np.ones((40, 9, 9), np.uint8))
    after = gather(path).refs[0]
    assert readers.read(after).pixels.all()
    assert before.stamp != after.stamp


def test_fortran_order_floats_and_truth_values(tmp_path: Path, gather):
    wide = RANDOM.normal(size=(5, 6, 7))
    np.savez(tmp_path / "m.npz", train_images=np.asfortranarray(wide), val_images=wide > 0, test_images=(wide * 9).astype(">i2"))
    found = gather(tmp_path)
    read = {ref.item: image.pixels[0, 0, 0] for ref, image in zip(found.refs, readers.read_many(found.refs), strict=True)}
    assert np.allclose(read["train/3"], wide[3].astype(np.float32))
    assert np.array_equal(read["val/2"], (wide[2] > 0).astype(np.uint8))
    assert np.array_equal(read["test/1"], (wide[1] * 9).astype(np.int16))


class _Trap:
    """Would leave a file behind if it were ever unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_objects_are_never_loaded(tmp_path: Path, gather):
    np.savez(tmp_path / "m.npz", train_images=np.array([_Trap(tmp_path / "sprung")], dtype=object))
    with pytest.raises(InputError, match="Python objects, which are never loaded"):
        gather(tmp_path / "m.npz")
    assert not (tmp_path / "sprung").exists()
    pickle.loads(pickle.dumps(_Trap(tmp_path / "sprung")))  # noqa: S301
    assert (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: path.write_bytes(b"PK\x03\x04 not really"), "broken or cut off"),
        (lambda path: path.write_bytes(b"no zip at all, just some text"), "broken or cut off"),
        (lambda path: np.savez(path, data=np.zeros(3)), "not in MedMNIST layout: it holds data;"),
        (lambda path: np.savez(path, train_images=np.array(["a", "b"])), "not numbers"),
        (lambda path: zipfile.ZipFile(path, "w").writestr("train_images.npy", b"\x93NUMPYrubbish"), "not a readable"),
    ],
)
def test_broken_files_say_why(tmp_path: Path, gather, make, reason):
    make(tmp_path / "m.npz")
    with pytest.raises(InputError, match=reason):
        gather(tmp_path)


def test_an_array_that_holds_no_pictures_is_told(tmp_path: Path, gather):
    np.savez(tmp_path / "m.npz", train_images=np.zeros((4, 9, 9), np.uint8), val_images=np.zeros((4, 9)))
    found = gather(tmp_path)
    assert len(found.refs) == 4
    assert "val_images is left out: an array of shape (4, 9)" in found.warnings[0]


@pytest.mark.parametrize("held", [10**9, 0])
def test_damaged_pixels_say_so_when_read(tmp_path: Path, gather, monkeypatch, held):
    monkeypatch.setattr(npz, "HELD_BYTES", held)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, train_images=RANDOM.integers(0, 256, (30, 28, 28), np.uint8))
    content = bytearray(buffer.getvalue())
    content[8000:8100] = bytes(100)
    (tmp_path / "m.npz").write_bytes(content)
    images = list(readers.read_many(gather(tmp_path).refs))
    assert any(isinstance(image, Unreadable) for image in images)


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "count", "shape"), [("pneumoniamnist_rebuilt", 5856, (1, 1, 1, 28, 28)), ("adrenalmnist3d", 1584, (1, 1, 28, 28, 28))]
)
def test_development_data(shared_data: Path, gather, name, count, shape):
    found = gather(shared_data / f"{name}.npz")
    assert len(found.refs) == count
    with np.load(shared_data / f"{name}.npz", allow_pickle=False) as arrays:
        stored = {split: arrays[f"{split}_images"] for split in npz.SPLITS}
    for ref in found.refs[:: count // 50]:
        split, index = ref.item.split("/")
        assert ref.shape == shape
        assert np.array_equal(readers.read(ref).pixels.reshape(shape[2:]).squeeze(), stored[split][int(index)])
