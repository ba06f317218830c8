"""Labels that are probably wrong, by confident learning (Northcutt, Jiang and Chuang, JAIR 2021; the library cleanlab).

A label is suspected where out-of-fold probabilities speak against it more than is usual for cases of the class they speak for: both
the class's own threshold and the estimated share of such mix-ups must say so. Suspicion is ranked by the probability of the label.
"""

from __future__ import annotations

import numpy as np
from cleanlab.filter import find_label_issues

from medloop.types import Array, Floats, Integers

FEWEST = 20
"""Of fewer cases nothing can be said."""
_DOUBT = 0.5
"""A label that has at least this probability is not suspected, whatever the thresholds say."""


def suspects(values: Integers, probabilities: Floats) -> Integers:
    """Positions of suspected labels, the worst first. ``values``: ``(N,)`` class indices; ``probabilities``: ``(N, K)``, each by
    models that had not seen the case."""
    present = np.unique(values)
    if len(values) < FEWEST or len(present) < 2:
        return np.zeros(0, np.int64)
    place = np.searchsorted(present, values)
    kept = np.clip(np.asarray(probabilities, np.float64)[:, present], 1e-9, None)
    kept /= kept.sum(axis=1, keepdims=True)
    own = kept[np.arange(len(place)), place]
    issues: Array = find_label_issues(place, kept, filter_by="both", n_jobs=1)
    found = np.flatnonzero(np.asarray(issues, np.bool_) & (own < _DOUBT))
    return np.asarray(found[np.argsort(own[found], kind="stable")])


def suspects_each(values: Floats, probabilities: Floats) -> list[tuple[int, int]]:
    """As `suspects` where several classes may hold, of each class by itself: (case, class), the worst first.

    ``values``: ``(N, K)`` 1, 0 or NaN for unknown; ``probabilities``: ``(N, K)`` of 1.
    """
    found = []
    for column, (told, chance) in enumerate(zip(values.T, probabilities.T, strict=True)):
        known = np.flatnonzero(np.isfinite(told))
        said, against = told[known].astype(np.int64), np.stack([1 - chance[known], chance[known]], axis=1)
        found += [(against[row, said[row]], int(known[row]), column) for row in suspects(said, against)]
    return [(row, column) for _, row, column in sorted(found)]
