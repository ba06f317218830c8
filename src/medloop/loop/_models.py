"""Models of the store by number or name."""

from __future__ import annotations

from collections.abc import Sequence

from medloop.errors import InputError, unknown_name
from medloop.store import Store, models
from medloop.store.records import ModelRow


def model_of(opened: Store, said: str) -> ModelRow:
    """The model of that number or name. Raises `InputError` with the nearest names."""
    every = models.every(opened)
    for row in every:
        if said in (str(row.id), row.name):
            return row
    raise unknown_name("model", said, [row.name for row in every]) if every else _none("model", "medloop retrain")


def newest(rows: Sequence[ModelRow], state: str) -> ModelRow:
    """The newest model in this state. Raises `InputError` where there is none."""
    found = next((row for row in rows if row.state == state), None)
    if found is None:
        raise _none(state, "medloop retrain")
    return found


def _none(what: str, fix: str) -> InputError:
    return InputError(
        f"no-{what}",
        got=f"There is no {what} in the store.",
        allowed=f"A store with a {what}.",
        fix=f"Learn one from the confirmed labels: {fix}.",
    )
