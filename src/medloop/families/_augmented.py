"""What the network of a recipe was shown while it learnt: pictures and changed copies of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from medloop import registry
from medloop.families._network_model import as_input
from medloop.prepared.arrays import PreparedArrays
from medloop.types import Array, Integers, Json, Recipe

COPIES = 5


def augmented(recipe: Recipe, arrays: PreparedArrays, rows: Integers) -> Array | None:
    """``(n, 1 + COPIES, C, Z, Y, X)`` uint8: each image as it is, then changed copies. None where the recipe changes nothing.

    ``recipe``: as executed. Of an average the first member that changes pictures is shown.
    """
    said = next(_settings(recipe.parameters), None)
    if said is None or len(rows) == 0:
        return None
    augment = registry.load("learning", "augment")
    wanted = augment.Augmentation.from_json(said)
    if wanted == augment.NOTHING:
        return None
    plain = as_input(arrays.take(rows))
    found = np.concatenate([plain[:, None], augment.examples(plain, wanted, COPIES, recipe.seed)], axis=1)
    return found.reshape(len(rows), 1 + COPIES, *arrays.shape)


def _settings(parameters: Mapping[str, Json]) -> Iterator[Mapping[str, Json]]:
    """The tables of augmentation in executed parameters, those of members too."""
    if parameters.get("augmentation"):
        yield parameters["augmentation"]
    for member in parameters.get("members", ()):
        yield from _settings(member.get("parameters", {}))
