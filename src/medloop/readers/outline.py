"""Outlines as the store keeps them: a PNG whose values or palette numbers count, or a NIfTI in the order of its image's voxels.

A reference of this reader is not found in a folder but made (`reference`) from a label. What the values mean goes with it.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import nibabel
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from medloop.errors import Unreadable
from medloop.readers._pieces import Assembled, Scanned
from medloop.types import UNKNOWN, Image, ImageRef, Json

VERSION = 1


def claims(head: bytes, path: Path) -> bool:
    """No file is an outline by itself."""
    del head, path
    return False


def scan(path: Path, head: bytes) -> Json:
    """Never asked for. Raises `Unreadable`."""
    del path, head
    raise Unreadable("an outline is read for the case that it was drawn in")


def assemble(scans: Sequence[Scanned]) -> Assembled:
    """Nothing: outlines are not found in folders."""
    del scans
    return Assembled()


def reference(name: str, file: Path, shape: tuple[int, int, int], meaning: Mapping[int, int]) -> ImageRef:
    """The outline in ``file``, named by its content, on a grid of ``shape`` ``(z, y, x)``.

    ``meaning``: value to the mask's value; of any other nothing is known.
    """
    item = json.dumps(sorted(meaning.items()), separators=(",", ":"))
    stamp = hashlib.blake2b(f"{file.name}\0{item}".encode(), digest_size=16).hexdigest()
    return ImageRef(name=name, reader="outline", files=(str(file),), item=item, shape=(1, 1, *shape), stamp=stamp)


def read(ref: ImageRef) -> Image:
    """The mask ``(1, 1, Z, Y, X)`` uint8 as in `Truth`. Raises `Unreadable`."""
    file = Path(ref.files[0])
    try:
        mask = decoded(file.read_bytes(), file.name)
    except OSError as error:
        raise Unreadable("the outline is gone") from error
    table = np.full(256, UNKNOWN, np.uint8)
    for value, meaning in json.loads(ref.item):
        table[value] = meaning
    return Image(pixels=table[mask][None, None])


def decoded(content: bytes, name: str) -> NDArray[np.uint8]:
    """``(Z, Y, X)`` in voxels of the image as read, from the bytes of a file of this name. Raises `Unreadable`."""
    try:
        if name.endswith(".png"):
            return np.asarray(Pillow.open(io.BytesIO(content)), np.uint8)[None]
        if name.endswith(".nii.gz"):
            volume = nibabel.Nifti1Image.from_bytes(gzip.decompress(content))
            return np.ascontiguousarray(np.asarray(volume.dataobj).transpose(2, 1, 0).astype(np.uint8))
        mask = np.load(io.BytesIO(content), allow_pickle=False)
        return np.ascontiguousarray(mask.reshape(mask.shape[-3:] if mask.ndim > 2 else (1, *mask.shape)).astype(np.uint8))
    except (OSError, ValueError, IndexError, EOFError, AttributeError) as error:
        raise Unreadable("this blob is no mask") from error
