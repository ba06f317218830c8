"""Preparation of one image: pure steps by name, `Image` in, `Image` out, with place and spacing kept right.

A step is a module of this room with ``VERSION`` (goes into cache keys: rises whenever the same image would come out otherwise) and
``step(image, **params) -> Image``. Parameters are JSON values and are checked against the types that ``step`` declares.
"""

from medloop.prep._chain import STEPS, apply, chain, checked, key
from medloop.prep._plan import SIDE, VOXELS, MainKind, main_kind, plan

__all__ = ["SIDE", "STEPS", "VOXELS", "MainKind", "apply", "chain", "checked", "key", "main_kind", "plan"]
