"""Do the pictures that are judged look like those that were learnt from?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medloop.cache.pictures import Pictures
from medloop.dataset import appearance
from medloop.dataset.appearance import Appearance
from medloop.evaluation import shift
from medloop.evaluation.shift import Shift
from medloop.prepared import Survey
from medloop.types import ImageRef, Integers, Json
from medloop.wire import to_json


def looks_of(pictures: Pictures, rows: Integers, patients: Integers) -> Appearance:
    """How the patients look whose pictures are the ``rows``; ``patients``: ``(n,)`` of which patient each is."""
    return appearance.appearance(pictures, np.asarray(rows)).by_patient(np.asarray(patients))


def between(before: Appearance | None, here: Appearance, seed: int = 0) -> Shift | None:
    """How they differ; None where one side is unknown or too small to tell."""
    return None if before is None else shift.compare(before.values, here.values, appearance.NAMES, seed)


def can_tell(before: Appearance | None, refs: Sequence[ImageRef]) -> bool:
    """Whether new images can be compared: it must be known of which patients they are, for pictures of one patient look alike."""
    return before is not None and all(ref.patient is not None for ref in refs)


def of_new(before: Appearance | None, seen: Survey) -> Shift | None:
    """How new images differ; None where that cannot be told."""
    if not can_tell(before, seen.refs):
        return None
    patients = [ref.patient for ref in seen.refs]
    _, member = np.unique(np.array(patients, dtype=np.str_), return_inverse=True)
    return between(before, looks_of(seen.pictures, np.arange(len(seen.refs)), member))


def told(found: Shift | None, what: str) -> dict[str, Json] | None:
    """As results state it. ``what``: images (``test``, ``new``)."""
    return None if found is None else to_json(found) | {"says": found.says(what)}
