"""Decoded once: facts of every picture and arrays mapped from disk."""

from medloop.prepared.arrays import PreparedArrays, RowKind, open_shard
from medloop.prepared.survey import Survey, survey

__all__ = ["PreparedArrays", "RowKind", "Survey", "open_shard", "survey"]
