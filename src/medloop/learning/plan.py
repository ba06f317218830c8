"""How a network is trained, as data: every number that makes the result, checked when it is written down."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields

from medloop.errors import InputError, unknown_name
from medloop.types import Json

_WORDS = {
    "optimiser": ("adamw", "sgd"),
    "schedule": ("cosine", "constant", "step"),
    "norms": ("learn", "keep"),
    "average": ("none", "ema", "swa"),
    "kept": ("best", "last"),
    "precision": ("auto", "32", "bf16"),
}
_LOWEST = {
    "epochs": 1,
    "batch": 1,
    "at_once": 0,
    "frozen": 0,
    "unfreeze_every": 0,
    "patience": 0,
    "stop_after": 0,
    "rate": 0.0,
    "head_rate": 0.0,
    "decay": 0.0,
    "clip": 0.0,
}
_SHARES = ("momentum", "warm_up", "layer_decay", "ema_decay", "swa_from")


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What is trained, how fast and how long. Raises `InputError` for a value that makes no sense.

    ``epochs``: times through the training cases. ``batch``: cases a step; ``at_once``: of them through the network at one time, the
    gradients are summed (0: all). ``rate``: of the deepest block; the head's is ``head_rate`` times that, each block further from
    the head has ``layer_decay`` times the rate of its neighbour. ``momentum``: of SGD. ``decay``: weight decay, not on norms and
    biases. ``warm_up``: share of all steps in which the rate rises. ``schedule``: ``cosine`` falls to nothing, ``step`` to a tenth
    after 60 % and to a hundredth after 85 %. ``frozen``: blocks, from the stem on, that are never trained. ``unfreeze_every``: the
    head alone is trained first and one more block after that many epochs each (0: all at once). ``norms``: ``keep`` leaves the
    statistics of batch norms as they are. ``clip``: longest gradient (0: any). ``average``: of the weights, ``ema`` with
    ``ema_decay`` a step, ``swa`` over the epochs after the share ``swa_from``. ``kept``: the weights of the ``best`` epoch on the
    validation cases, or those of the ``last``, so that the validation cases' scores stay honest. ``patience``: epochs without a
    better score before training ends (0: never). ``precision``: ``auto`` is bfloat16 where the processor has it. ``stop_after``:
    ends after that many epochs, with the rates of all ``epochs`` (0: does not); so a training that a deadline cut short can be
    repeated.
    """

    epochs: int = 10
    batch: int = 32
    at_once: int = 0
    optimiser: str = "adamw"
    rate: float = 3e-4
    head_rate: float = 10.0
    momentum: float = 0.9
    decay: float = 0.05
    warm_up: float = 0.1
    schedule: str = "cosine"
    layer_decay: float = 1.0
    frozen: int = 0
    unfreeze_every: int = 0
    norms: str = "learn"
    clip: float = 1.0
    average: str = "none"
    ema_decay: float = 0.99
    swa_from: float = 0.75
    patience: int = 0
    kept: str = "best"
    precision: str = "auto"
    stop_after: int = 0

    def __post_init__(self) -> None:
        for field in fields(self):
            _check_type(field.name, getattr(self, field.name), type(field.default))
        for name, words in _WORDS.items():
            if getattr(self, name) not in words:
                raise unknown_name(f"plan {name}", getattr(self, name), words)
        for name, lowest in _LOWEST.items():
            if not lowest <= getattr(self, name) < math.inf:
                raise _wrong(name, getattr(self, name), f"{lowest} or more, and finite.")
        for name in _SHARES:
            if not 0 <= getattr(self, name) <= 1:
                raise _wrong(name, getattr(self, name), "0 to 1.")
        if self.rate <= 0:
            raise _wrong("rate", self.rate, "More than 0.")
        if self.warm_up == 1:
            raise _wrong("warm_up", self.warm_up, "Less than 1: the share of the steps in which the rate rises.")

    @property
    def last(self) -> int:
        """The epoch after which training ends at the latest."""
        return min(self.epochs, self.stop_after) if self.stop_after else self.epochs

    def to_json(self) -> dict[str, Json]:
        """Plain data."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, said: Mapping[str, Json]) -> Plan:
        """The inverse of `to_json`; what is not said keeps its default. Raises `InputError` for a name that is not there."""
        known = {field.name: type(field.default) for field in fields(cls)}
        for name in said:
            if name not in known:
                raise unknown_name("training parameter", name, known)
        whole = {name: float(value) for name, value in said.items() if known[name] is float and type(value) is int}
        return cls(**{**said, **whole})


def _check_type(name: str, value: object, wanted: type) -> None:
    """Numbers are numbers (a whole one will do for a share), counts are whole, words are words."""
    if isinstance(value, bool) or not isinstance(value, (int, float) if wanted is float else wanted):
        allowed = {int: "A whole number.", float: "A number.", str: "A word."}[wanted]
        raise _wrong(name, value, allowed)


def _wrong(name: str, value: object, allowed: str) -> InputError:
    return InputError(
        f"plan-{name.replace('_', '-')}",
        got=f"The training parameter '{name}' is {value!r}.",
        allowed=allowed,
        fix=f"Write another value for '{name}', or leave it out: the default is {_default(name)!r}.",
    )


def _default(name: str) -> object:
    return next(field.default for field in fields(Plan) if field.name == name)
