"""The snapshot a model learns from: cases, groups, copies, splits, fingerprint."""

from medloop.dataset._fewer_labels import taught
from medloop.dataset._findings import Findings, Surveyed, duplicate_groups
from medloop.dataset._options import Options
from medloop.dataset.judging import judged_by
from medloop.dataset.snapshot import WHOSE, build, counts, examine, rows, summary
from medloop.dataset.splits import folds

__all__ = [
    "WHOSE", "Findings", "Options", "Surveyed", "build", "counts", "duplicate_groups", "examine", "folds", "judged_by", "rows",
    "summary", "taught",
]  # fmt: skip
