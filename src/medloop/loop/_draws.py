"""Who is of the frozen test set and what is read blind: drawn by a hash, the same whenever and wherever a study comes."""

from __future__ import annotations

import hashlib

_DIGITS = 13


def share_of(key: str, draw: str) -> float:
    """A number from 0 to below 1 that depends on ``key`` and on the name of the draw only, evenly spread over keys."""
    digest = hashlib.sha256(f"{draw}\0{key}".encode("utf-8", "replace")).hexdigest()
    return float(int(digest[:_DIGITS], 16) / 16**_DIGITS)


def frozen(patient: str | None, content: str, share: float, number: int = 0) -> bool:
    """Whether a patient is of the frozen test set of the ``number``-th draw; where no patient is known the content is drawn."""
    return share_of(f"content {content}" if patient is None else f"patient {patient}", f"frozen {number}") < share


def blind(content: str, share: float) -> bool:
    """Whether a case is read without seeing its proposal first."""
    return share_of(content, "blind") < share
