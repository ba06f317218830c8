"""How a dataset is to be built, as a request says it."""

from __future__ import annotations

from dataclasses import dataclass

from medloop.dataset import leaks as leaking
from medloop.errors import InputError
from medloop.requests import LearnRequest, listed


@dataclass(frozen=True, kw_only=True)
class Options:
    """How to build. ``accept_leak``: kinds of leak into test to go on with. ``folds``: judged out of fold, so no test split is
    taken. ``targets``: what is learnt, None for all that is labelled.
    """

    seed: int = 0
    accept_leak: tuple[str, ...] = ()
    label_fraction: float = 1.0
    folds: int | None = None
    targets: tuple[str, ...] | None = None

    @classmethod
    def of(cls, request: LearnRequest) -> Options:
        """The options of a request. Raises `InputError` for a value that makes no sense."""
        if not 0 < request.label_fraction <= 1:
            raise InputError(
                "bad-fraction",
                got=f"--label-fraction {request.label_fraction:g}.",
                allowed="More than 0, at most 1.",
                fix="Write --label-fraction 0.2.",
            )
        if request.folds is not None and request.folds < 2:
            raise InputError("bad-folds", got=f"--folds {request.folds}.", allowed="2 or more.", fix="Write --folds 5.")
        return cls(
            seed=request.seed,
            accept_leak=leaking.accepted(request.accept_leak),
            label_fraction=request.label_fraction,
            folds=request.folds,
            targets=listed(request.targets),
        )
