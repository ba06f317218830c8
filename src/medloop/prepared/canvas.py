"""A place in the store for pixels made up on the spot, so that a model can be asked about pictures that nobody took."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import replace
from pathlib import Path
from types import TracebackType

import numpy as np

from medloop.prepared.arrays import PreparedArrays
from medloop.types import Array, Integers


class Canvas:
    """Room for ``size`` images that are otherwise like those of ``arrays``; use it in a ``with`` block.

    It is one file that is written again and again, so what other processes have mapped of it stays valid and small. What `show`
    gave before must no longer be used once it is called again.
    """

    def __init__(self, arrays: PreparedArrays, size: int) -> None:
        self.arrays, self.size = arrays, size

    def __enter__(self) -> Canvas:
        """Make the file."""
        self._folder = tempfile.TemporaryDirectory(prefix="medloop-canvas-", ignore_cleanup_errors=True)
        self._path = Path(self._folder.name) / "canvas.npy"
        shape = (self.size, *self.arrays.shape)
        self._pixels = np.lib.format.open_memmap(self._path, mode="w+", dtype=self.arrays.dtype, shape=shape)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Remove the file."""
        self._folder.cleanup()

    def show(self, pixels: Array, like: Integers) -> PreparedArrays:
        """``pixels`` ``(n, C, Z, Y, X)``, n at most ``size``, as prepared arrays; image j is of the kind of row ``like[j]``."""
        count = len(pixels)
        self._pixels[:count] = pixels
        self._pixels.flush()
        digests = [hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16).digest() for image in self._pixels[:count]]
        return replace(
            self.arrays,
            paths=(self._path,),
            shards=np.zeros(count, np.int32),
            rows=np.arange(count, dtype=np.int32),
            kinds=self.arrays.kinds[like],
            digests=np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 16),
        )
