"""medloop learns to diagnose from labelled medical images, and keeps learning from the people who use it.

``medloop.learn(...)`` and the other verbs are in `medloop.api`, requests and results in `medloop.requests`; both are imported
when first used, so that ``import medloop`` is quick.
"""

import importlib
from typing import TYPE_CHECKING, Any

from medloop.version import VERSION as __version__

if TYPE_CHECKING:
    from medloop.api import (
        audit,
        backup,
        compare,
        demo,
        doctor,
        evaluate,
        export,
        forget,
        ingest,
        inspect,
        learn,
        models,
        monitor,
        predict,
        promote,
        propose,
        restore,
        retrain,
        rollback,
        sample,
        serve,
        worker,
    )

__all__ = [
    "__version__",
    "audit",
    "backup",
    "compare",
    "demo",
    "doctor",
    "evaluate",
    "export",
    "forget",
    "ingest",
    "inspect",
    "learn",
    "models",
    "monitor",
    "predict",
    "promote",
    "propose",
    "restore",
    "retrain",
    "rollback",
    "sample",
    "serve",
    "worker",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(importlib.import_module("medloop.api"), name)
    raise AttributeError(f"module 'medloop' has no attribute '{name}'")
