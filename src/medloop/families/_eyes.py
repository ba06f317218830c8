"""Which eyes a frozen network is given: how large it sees, levelled or not, in how many views, which slices of a volume.

A search that climbs: from eyes that do well on most pictures, one change at a time, kept as long as it helps in cross-validation
and there is time for its features. Which of the network's maps are read costs nothing more, for all of them are in the table.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from medloop.families._cross import Trial
from medloop.families._heads import Spec
from medloop.families._job import FitJob
from medloop.families._search import Search, estimators_of
from medloop.families._space import MANY, MOST_COMPONENTS, PARAMETERS, SCALED, Guess
from medloop.families._tables import Tables
from medloop.features import Block, Feature
from medloop.features.network import Params
from medloop.prepared.arrays import PreparedArrays
from medloop.types import Json

FEATURE = "network"
SIDES = (64, 112, 160, 224)
"""Pixels of the longer side that the network may be shown."""
LEAST = 64
_USUAL, _ENLARGED, _SMALL = 112, 4, 40
_BASE_SHARE, _MOVE_SHARE = 0.25, 0.3
_WORTH = 0.001
_BEST = 2
_PROBES: Mapping[str, Mapping[str, Json]] = {
    "logistic": {"C": 30.0, "balanced": True},
    "ridge": {"alpha": 0.1},
    "rbf-svm": {"C": 3.0, "gamma": 0.3, "balanced": True},
}
_GUESSES: Sequence[tuple[str, Mapping[str, Json]]] = (
    ("rbf-svm", {"C": 10.0, "gamma": 0.1, "balanced": True}),
    ("logistic", {"C": 5.0, "balanced": True}),
    ("ridge", {"alpha": 1.0}),
    ("rbf-svm", {"C": 3.0, "gamma": 1.0, "balanced": True}),
    ("logistic", {"C": 200.0, "balanced": True}),
    ("linear-svm", {"C": 3.0, "balanced": True}),
)
_NAME = re.compile(r"stage (\d+)(?: (\d+)x\d+)?")
_REGIONS = " and regions"
Move = Callable[[Params], Params | None]
Asking = Generator[Spec, Trial | None, None]


def first(arrays: PreparedArrays, start: Params) -> Params:
    """Eyes that do well on most such images. Grey pictures are levelled: exposure and contrast differ from machine to machine.
    Shapes are projected along their axes."""
    _, depth, rows, columns = arrays.shape
    if depth == 1:
        level = start.level or not (arrays.colour or arrays.binary)
        return dataclasses.replace(start, side=_USUAL, level=level, regions=(1, 2))
    side = LEAST if max(rows, columns) <= _SMALL else _USUAL
    even = depth >= max(rows, columns) / 2
    return dataclasses.replace(start, side=side, slices=0 if arrays.binary else min(8, depth), axes="zyx" if even else "z")


def sets_of(blocks: Sequence[Block]) -> dict[str, tuple[str, ...]]:
    """Columns that may be read together, by name: some stages, of the whole picture or of its regions too."""
    known = {block.name: (int(said[1]), int(said[2] or 1)) for block in blocks if (said := _NAME.match(block.name))}
    stages = sorted({stage for stage, _ in known.values()})
    some = {"middle": stages[1:-1], "all": stages, "late": stages[len(stages) // 2 :]}
    sets: dict[str, tuple[str, ...]] = {}
    for ending, most in (("", 1), (_REGIONS, len(blocks))):
        for name, wanted in some.items():
            found = tuple(block for block, (stage, region) in known.items() if stage in wanted and region <= most)
            if found and found not in sets.values():
                sets[name + ending] = found
    return sets


def passes(params: Params) -> int:
    """How many pixels of an image, counted as often as they are seen, go through the network."""
    return params.side**2 * params.views * max(1, params.slices) * len(params.axes)


@dataclass(frozen=True, slots=True)
class _Try:
    """The best that was found for some eyes: which columns, which head, how good."""

    position: int
    columns: str
    estimator: str
    params: Mapping[str, Json]
    score: float


class Eyes:
    """The guide of a search for heads on a frozen network (`medloop.families._search.Guide`).

    ``start``: backbone and weights. Eyes that the recipe names are taken as they are; then only heads are searched.
    """

    def __init__(self, job: FitJob, tables: Tables, start: Params) -> None:
        self.job, self.tables = job, tables
        self.usual = first(job.arrays, start)
        self.estimators = tuple(each for each in estimators_of(job) if each in SCALED) or estimators_of(job)
        self.named = tuple(range(len(tables.features)))
        self.found: dict[int, _Try] = {}
        self._best: tuple[_Try, ...] = ()

    def opening(self) -> Asking:
        """The first eyes with several heads, then other eyes with the best of these."""
        for position in self.named or (self._base(),):
            yield from self._heads(position)
        if not self.named:
            for move in self._moves():
                yield from self._climbed(move)

    def guesses(self, search: Search) -> list[Guess]:
        """Other heads on the best eyes."""
        del search
        if not self.settled:
            return []
        best, sets = self.settled[0], sets_of(self.tables.blocks(self.settled[0].position))
        probes = {name: params for name, params in _PROBES.items() if name in self.estimators}
        heads = [(best.columns, name, params, True) for name, params in probes.items()]
        heads += [(columns, best.estimator, best.params, False) for columns in sets if columns != best.columns]
        heads += [(best.columns, name, params, False) for name, params in _GUESSES if name in self.estimators]
        return [self._guess(*head) for head in heads]

    def spec(self, asked: Any) -> Spec | None:
        """A head on one of the best eyes."""
        places = [each.position for each in self.settled] or [0]
        position = places[asked.suggest_categorical("eyes", list(range(len(places))))]
        sets = sets_of(self.tables.blocks(places[0]))
        columns = asked.suggest_categorical("columns", list(sets))
        estimator = asked.suggest_categorical("estimator", list(self.estimators))
        params = PARAMETERS[estimator](asked)
        even = asked.suggest_categorical("even", [False, True])
        components = asked.suggest_categorical("components", [MOST_COMPONENTS] if self._components else [0, 64, MOST_COMPONENTS])
        return self._spec(position, columns, estimator, params, even, components)

    def dear(self, spec: Spec) -> tuple[float, ...]:
        """Pictures that are not levelled where they should be: on another machine the grey levels are what differs first."""
        levelled = [self._params(position).level for position in spec.features]
        return () if self.named else (float(levelled.count(not self.usual.level)),)

    @property
    def settled(self) -> tuple[_Try, ...]:
        """The best eyes that were found when this was first asked for."""
        self._best = self._best or tuple(sorted(self.found.values(), key=lambda each: -each.score)[:_BEST])
        return self._best

    @property
    def _components(self) -> int:
        return MOST_COMPONENTS if len(self.job.train) > MANY else 0

    def _base(self) -> int:
        """The position of the first eyes; they see less where there is little time."""
        left = self.job.deadline - self.job.clock()
        usual = self.tables.add(Feature(FEATURE, self.usual)) if left > 0 else None
        if usual is not None and (self.usual.side <= LEAST or self.tables.expected(usual) <= _BASE_SHARE * left):
            return usual
        return self.tables.add(Feature(FEATURE, dataclasses.replace(self.usual, side=LEAST)))

    def _heads(self, position: int) -> Asking:
        """Some heads on new eyes: which columns with a linear head, then which head, then more columns."""
        sets = sets_of(self.tables.blocks(position))
        probes = {name: _PROBES.get(name, {}) for name in _PROBES if name in self.estimators} or {self.estimators[0]: {}}
        simple = next(iter(probes))
        for columns in [name for name in sets if name.startswith(next(iter(sets)))]:
            yield from self._asked(position, columns, simple, probes[simple])
        if position not in self.found:
            return
        for name in list(probes)[1:]:
            yield from self._asked(position, self.found[position].columns, name, probes[name])
        regions = _REGIONS in self.found[position].columns
        for columns in [name for name in sets if (_REGIONS in name) == regions]:
            yield from self._asked(position, columns, self.found[position].estimator, self.found[position].params)

    def _climbed(self, move: Move) -> Asking:
        """The same change again and again, as long as it helps."""
        while self.found:
            best = max(self.found.values(), key=lambda each: each.score)
            here = self._params(best.position)
            there = move(here)
            if there is None or Feature(FEATURE, there) in self.tables.features or not self._affordable(there, best.position):
                return
            position = self.tables.add(Feature(FEATURE, there))
            yield from self._asked(position, best.columns, best.estimator, best.params)
            gain = self.found[position].score - best.score if position in self.found else float("-inf")
            if gain <= (_WORTH if passes(there) > passes(here) else 0.0):
                return

    def _moves(self) -> list[Move]:
        """Changes in the order in which they are tried."""
        if self.job.arrays.shape[1] > 1:
            return [self._larger, _levelled, _more_planes, _more_slices, _mirrored]
        best = max(self.found.values(), key=lambda each: each.score, default=None)
        placed = best is not None and best.columns.endswith(_REGIONS)
        if placed:
            return [self._larger, self._smaller, _levelled, _mirrored, _turned]
        return [_turned, _mirrored, self._larger, self._smaller, _levelled]

    def _larger(self, params: Params) -> Params | None:
        most = _ENLARGED * max(self.job.arrays.shape[2:])
        return next((dataclasses.replace(params, side=side) for side in SIDES if params.side < side <= most), None)

    def _smaller(self, params: Params) -> Params | None:
        fewer = [side for side in SIDES if side < params.side <= self.usual.side]
        return dataclasses.replace(params, side=fewer[-1]) if fewer else None

    def _affordable(self, there: Params, position: int) -> bool:
        """Whether the time that the eyes at ``position`` took leaves room for others that see more."""
        seconds = self.tables.took(position) * passes(there) / passes(self._params(position))
        return seconds <= _MOVE_SHARE * (self.job.deadline - self.job.clock())

    def _asked(self, position: int, columns: str, estimator: str, params: Mapping[str, Json]) -> Asking:
        spec = self._spec(position, columns, estimator, params, False, self._components)
        trial = None if spec is None else (yield spec)
        if trial is not None and trial.complete:
            found = _Try(position, columns, estimator, params, trial.score)
            self.found[position] = max(found, self.found.get(position, found), key=lambda each: each.score)

    def _spec(
        self, position: int, columns: str, estimator: str, params: Mapping[str, Json], even: bool, components: int
    ) -> Spec | None:
        blocks = sets_of(self.tables.blocks(position)).get(columns)
        return None if blocks is None else Spec((position,), estimator, params, even, components, blocks)

    def _guess(self, columns: str, estimator: str, params: Mapping[str, Json], even: bool) -> Guess:
        said = {"eyes": 0, "columns": columns, "estimator": estimator, "even": even, "components": self._components}
        return said | {f"{estimator} {name}": value for name, value in params.items()}

    def _params(self, position: int) -> Params:
        params: Params = self.tables.features[position].params
        return params


def _levelled(params: Params) -> Params:
    return dataclasses.replace(params, level=not params.level)


def _mirrored(params: Params) -> Params | None:
    return dataclasses.replace(params, views=2) if params.views == 1 else None


def _turned(params: Params) -> Params | None:
    return dataclasses.replace(params, views=8) if params.views in (1, 2) else None


def _more_planes(params: Params) -> Params | None:
    return dataclasses.replace(params, axes="zyx") if params.axes == "z" else None


def _more_slices(params: Params) -> Params | None:
    more = {0: 8, 8: 16}.get(params.slices)
    return None if more is None else dataclasses.replace(params, slices=more)
