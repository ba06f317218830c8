"""The snapshot a model learns from: cases, groups, copies, splits, fingerprint."""

from medloop.dataset.snapshot import Findings, Options, Surveyed, build, counts, duplicate_groups, examine, rows, summary
from medloop.dataset.splits import folds

__all__ = ["Findings", "Options", "Surveyed", "build", "counts", "duplicate_groups", "examine", "folds", "rows", "summary"]
