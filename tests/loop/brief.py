"""Learning without what a run does in the time that is left, for tests of something else: no learning curve, no heat."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from medloop.loop import _telling

PLAIN = """name = "plain"
family = "classical"

[parameters]
features = [{name = "intensity"}]
estimators = ["logistic"]
trials = 1
folds = 3
"""
"""The quickest model there is. It is there long before any budget is spent, on any machine."""


@contextmanager
def brief(*, heat: bool = False) -> Iterator[None]:
    """No learning curve inside, and no heat unless wanted."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importlib.import_module("medloop.loop.learn"), "_CURVE_SHARE", 0.0)
        if not heat:
            patch.setattr(_telling, "_HEAT_S", 0.0)
        yield
