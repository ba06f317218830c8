"""Where images lie in the patient, from their headers; kept by stamp, so that the headers of a series are opened once."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from medloop import registry
from medloop.cache.files import Entry, FileIndex
from medloop.compute import Compute, Died
from medloop.errors import Unreadable
from medloop.progress import QUIET, Progress
from medloop.types import Array, ImageRef
from medloop.workspace.atomic import explained

Places = Mapping[str, str]
"""By stamp: JSON of the affine's 16 numbers, null where it is unknown, or the reason why the header cannot be read."""
_CHUNK = 16


def places(refs: Sequence[ImageRef], *, cache: Path | None, compute: Compute, tell: Progress = QUIET) -> Places:
    """The places of these images. ``cache``: folder in which they are kept."""
    with ExitStack() as stack:
        index = None
        known: dict[str, str] = {}
        if cache is not None:
            stack.enter_context(explained(cache))
            version = ",".join(f"{name}={registry.load('readers', name).VERSION}" for name in sorted({ref.reader for ref in refs}))
            index = stack.enter_context(FileIndex(cache / "places.sqlite", version))
            known = {stamp: entry.found for stamp, entry in index.known((ref.stamp, 0, 0) for ref in refs).items()}
        fresh = [ref for ref in refs if ref.stamp not in known]
        answers = compute.map(_place, fresh, label="Reading where images lie", total=len(fresh), tell=tell, chunk=_CHUNK)
        for ref, answer in zip(fresh, answers, strict=True):
            known[ref.stamp] = json.dumps(answer.reason) if isinstance(answer, Died) else answer
        if index is not None:
            index.add([Entry(ref.stamp, 0, 0, ref.reader, known[ref.stamp]) for ref in fresh])
    return known


def affine(ref: ImageRef, known: Places) -> Array | None:
    """The LPS affine of one of them, None where unknown. Raises `Unreadable`."""
    said = json.loads(known[ref.stamp])
    if isinstance(said, str):
        raise Unreadable(said)
    return None if said is None else np.reshape(said, (4, 4))


def _place(ref: ImageRef) -> str:
    reader = registry.load("readers", ref.reader)
    try:
        found: Array | None = reader.affine(ref) if hasattr(reader, "affine") else None
    except Unreadable as error:
        return json.dumps(str(error))
    except OSError as error:
        return json.dumps(f"it cannot be read from the disk: {error.strerror or error}")
    return json.dumps(None if found is None else np.asarray(found, np.float64).ravel().tolist())
