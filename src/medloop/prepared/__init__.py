"""Decoded once: facts of every picture and arrays mapped from disk."""

from medloop.prepared.arrays import PreparedArrays, RowKind, open_shard
from medloop.prepared.boxes import prepare_boxes
from medloop.prepared.geometry import Geometry
from medloop.prepared.masks import PreparedMasks, prepare_masks
from medloop.prepared.placing import geometry_of
from medloop.prepared.survey import Survey, survey

__all__ = [
    "Geometry",
    "PreparedArrays",
    "PreparedMasks",
    "RowKind",
    "Survey",
    "geometry_of",
    "open_shard",
    "prepare_boxes",
    "prepare_masks",
    "survey",
]
