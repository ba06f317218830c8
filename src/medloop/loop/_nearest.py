"""Confirmed cases that look like a new one: by what the model learnt to tell apart, or else by their appearance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from medloop import prepared
from medloop.compute import Compute
from medloop.dataset import appearance
from medloop.dataset.appearance import Appearance
from medloop.families import Model
from medloop.loop import findings
from medloop.loop._intake import Means
from medloop.loop._unlike import Usual, nearest
from medloop.prepared import PreparedArrays
from medloop.store import Store, labels, studies
from medloop.store.records import StudyRow
from medloop.store.studies import Filter
from medloop.types import Floats, Json

_MOST, _PAGE = 2000, 500
SHOWN = 3


@dataclass(frozen=True, kw_only=True, eq=False)
class Confirmed:
    """The newest confirmed cases: their numbers and labels, and where each lies, ``(M, D)``. ``learnt``: by the model itself."""

    numbers: Sequence[int]
    labels: Sequence[str]
    places: Floats
    usual: Usual | None
    learnt: bool
    shown: int = SHOWN

    @classmethod
    def of(cls, records: Store, model: Model, usual: Usual | None, means: Means) -> Confirmed:
        """From the store: about `_MOST` at most."""
        found = _newest(records)
        told = {
            case: row.value
            for (case, name), row in labels.current(records, [row.id for row in found], truth=True).items()
            if name == model.target.name
        }
        rows = [row for row in found if row.id in told]
        learnt = hasattr(model, "similar")
        looks, places = _placed(records, rows, model, learnt, means)
        kept = looks[0]
        used = places if learnt and places.shape[1] else usual.placed(looks[1]) if usual is not None else looks[1].values
        said = [_text(told[rows[at].id]) for at in kept]
        return cls(
            numbers=[rows[at].id for at in kept],
            labels=said,
            places=np.asarray(used, np.float64),
            usual=usual,
            learnt=bool(learnt and places.shape[1]),
        )

    def nearest(self, model: Model, arrays: PreparedArrays, looks: Appearance, compute: Compute) -> list[list[dict[str, Any]]]:
        """For each prepared image the nearest cases (one more than are shown: it may be among them itself), nearest first."""
        if not self.numbers:
            return [[] for _ in range(len(looks))]
        if self.learnt:
            places = np.asarray(model.similar(arrays, compute=compute))  # type: ignore[attr-defined]
        else:
            places = np.asarray(self.usual.placed(looks) if self.usual is not None else looks.values, np.float64)
        rows, far = nearest(places, self.places, self.shown + 1)
        return [
            [
                {"case_id": self.numbers[at], "label": self.labels[at], "distance": round(gap, 4)}
                for at, gap in zip(*pair, strict=True)
            ]
            for pair in zip(rows.tolist(), far.tolist(), strict=True)
        ]


def _newest(records: Store) -> list[StudyRow]:
    """The newest studies that are done, outside the frozen test set."""
    found: list[StudyRow] = []
    after = None
    while len(found) < _MOST:
        page = studies.page(records, "newest", Filter(states=("done",), frozen=False), _PAGE, after, refs=True)
        found += [row for row in page.rows if row.refs]
        after = page.after
        if after is None:
            break
    return found


def _placed(
    records: Store, rows: Sequence[StudyRow], model: Model, learnt: bool, means: Means
) -> tuple[tuple[list[int], Appearance], Floats]:
    """Which rows can be used, their appearance, and their places by the model (no columns where it has none)."""
    refs = [findings.images_of(row, records) for row in rows]
    cache, steps = means.workspace.cache, model.preparation if learnt else None
    seen = prepared.survey(refs, cache=cache, steps=steps, compute=means.compute)
    looks = appearance.appearance(seen.pictures, np.arange(len(seen.refs)))
    places = np.zeros((len(seen.refs), 0))
    if learnt and seen.arrays is not None and len(seen.refs):
        places = np.asarray(model.similar(seen.arrays, compute=means.compute))  # type: ignore[attr-defined]
    return (seen.kept.tolist(), looks), places


def _text(value: Json) -> str:
    if isinstance(value, dict):
        return "|".join(name for name, on in value.items() if on == 1)
    return f"{value:g}" if isinstance(value, float) else str(value)
