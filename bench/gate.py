"""How often the gate lets a challenger in that is no better, and how often one that is: simulated pairs of models, whole gate.

Scores are normal within each class and correlated between the models; each model decides where sensitivity and specificity are
equal. Classes of 30 cases can veto, as in the product. Beside it: whoever has the higher AUC wins.

Of outlines the Dice of a case is drawn: normal on the logit scale, correlated between the models, and 0 where nothing is found, so
that it is as skewed as in life. Beside it: whoever has the higher mean wins.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from scipy import optimize, special, stats

from bench.core import Row
from medloop.evaluation import gate
from medloop.evaluation.comparison import Side
from medloop.evaluation.gate import Decision, Drawn, Rules, Trial
from medloop.types import Floats, Target, TargetKind

TARGET = Target(TargetKind.BINARY, ("well", "sick"))
OUTLINES = Target(TargetKind.MASKS, ("lesion",), "masks")
ROUNDS, SEED = 1000, 0
_LIVES = 200
_SPREAD = 0.8
"""Standard deviation of a case's Dice on the logit scale: about 0.12 around 0.8."""


def _several(pictures: int) -> str:
    return f", {pictures} pictures a patient" if pictures > 1 else ""


@dataclass(frozen=True)
class Setting:
    """``pictures``: of each patient, correlated 0.5 among themselves. ``correlation``: of both models' scores within a class.
    ``sites``: of equal size, each of which can veto."""

    champion: float = 0.90
    challenger: float = 0.90
    cases: int = 1000
    positive: float = 0.5
    correlation: float = 0.8
    look: int = 1
    pictures: int = 1
    sites: int = 0

    def __str__(self) -> str:
        """The setting in words."""
        several = _several(self.pictures)
        sites = f", {self.sites} sites" if self.sites else ""
        return (
            f"AUC {self.champion:.2f} to {self.challenger:.2f}, {self.cases} cases ({100 * self.positive:.0f} % positive"
            f"{several}{sites}), correlation {self.correlation}, look {self.look}"
        )


@dataclass(frozen=True)
class Outlines:
    """``champion``, ``challenger``: mean Dice of a case. ``missed``: share of cases in which a model finds nothing. The rest as in
    `Setting`."""

    champion: float = 0.80
    challenger: float = 0.80
    cases: int = 200
    correlation: float = 0.8
    missed: float = 0.03
    look: int = 1
    pictures: int = 1

    def __str__(self) -> str:
        """The setting in words."""
        several = _several(self.pictures)
        return (
            f"Dice {self.champion:.2f} to {self.challenger:.2f}, {self.cases} cases ({100 * self.missed:.0f} % missed{several}), "
            f"correlation {self.correlation}, look {self.look}"
        )


BETTER = Setting(challenger=0.92)
_SAME = [
    Setting(cases=200),
    Setting(cases=5000),
    Setting(positive=0.1),
    Setting(correlation=0.5),
    Setting(correlation=0.95),
    Setting(pictures=4),
    Setting(champion=0.98, challenger=0.98, cases=300),
    Setting(look=2),
]
_BETTER = [
    replace(BETTER, cases=200),
    replace(BETTER, cases=500),
    replace(BETTER, cases=2000),
    replace(BETTER, positive=0.1),
    replace(BETTER, correlation=0.5),
    replace(BETTER, correlation=0.95),
    replace(BETTER, pictures=4),
    replace(BETTER, sites=4),
    replace(BETTER, sites=10),
    replace(BETTER, challenger=0.91),
    replace(BETTER, challenger=0.94),
    replace(BETTER, look=2),
    replace(BETTER, look=2, cases=2000),
]
_SAME_DICE = [
    Outlines(),
    Outlines(cases=30),
    Outlines(cases=1000),
    Outlines(champion=0.60, challenger=0.60, missed=0.2),
    Outlines(correlation=0.5),
    Outlines(pictures=4),
    Outlines(look=2),
]
_BETTER_DICE = [
    Outlines(challenger=0.84),
    Outlines(challenger=0.82),
    Outlines(challenger=0.82, cases=500),
    Outlines(challenger=0.82, cases=1000),
    Outlines(champion=0.60, challenger=0.62, missed=0.2, cases=500),
    Outlines(challenger=0.82, correlation=0.5),
    Outlines(challenger=0.82, pictures=4),
    Outlines(challenger=0.82, look=2),
]


def rows() -> Iterator[Row]:
    """The two promised shares, tables of other settings and of outlines, and the whole life of a test set."""
    yield _row("false promotions kept out", Setting(), kept_out=True)
    yield _row("true promotions", BETTER, kept_out=False)
    for same in (*_SAME, *_SAME_DICE):
        yield _row(f"kept out, no better: {same}", same, kept_out=True)
    for better in (*_BETTER, *_BETTER_DICE):
        yield _row(f"promoted, better: {better}", better, kept_out=False)
    yield _lives()


def _row(what: str, setting: Setting | Outlines, *, kept_out: bool) -> Row:
    draw, outlined = np.random.default_rng(SEED), isinstance(setting, Outlines)
    verdicts = [gate.judge(drawn(setting, draw) if outlined else trial(setting, draw)) for _ in range(ROUNDS)]
    promoted = float(np.mean([each.decision is Decision.PROMOTED for each in verdicts]))
    person = float(np.mean([each.decision is Decision.NEEDS_PERSON for each in verdicts]))
    higher = float(np.mean([each.gain is not None and each.gain.difference > 0 for each in verdicts]))
    share, beside = (1 - promoted, 1 - higher) if kept_out else (promoted, higher)
    low, high = stats.binomtest(round(share * ROUNDS), ROUNDS).proportion_ci()
    return Row(
        what=what,
        figure=share,
        unit="share",
        baseline=f"whoever has the higher {'mean Dice' if outlined else 'AUC'} wins",
        baseline_figure=beside,
        ratio=share,
        seeds=[SEED],
        notes=f"{setting}; {ROUNDS} challengers; 95 %: {low:.3f} to {high:.3f}; left to a person {person:.3f}",
    )


def _lives() -> Row:
    """Test sets that see as many no-better challengers as is allowed: how many never let one in."""
    draw, rules, setting = np.random.default_rng(SEED), Rules(), Setting(cases=300)
    spared = naive = 0
    for _ in range(_LIVES):
        gains = [gate.gain_of(trial(setting, draw)) for _ in range(rules.looks_allowed)]
        bounds = [(gain.bound(rules.tail(look)), gain.bound(rules.alpha)) for look, gain in enumerate(gains, 1) if gain is not None]
        spared += not any(counted is not None and counted > 0 for counted, _ in bounds)
        naive += not any(alone is not None and alone > 0 for _, alone in bounds)
    return Row(
        what=f"test sets that never let one in, {rules.looks_allowed} no-better challengers each",
        figure=spared / _LIVES,
        unit="share",
        baseline="a bound of 97.5 % at every look",
        baseline_figure=naive / _LIVES,
        ratio=spared / _LIVES,
        seeds=[SEED],
        notes=f"{_LIVES} test sets of {setting.cases} cases, a fresh challenger and fresh scores at every look",
    )


def trial(setting: Setting, draw: np.random.Generator) -> Trial:
    """One pair of models on one test set."""
    count = setting.cases // setting.pictures
    truth = np.arange(count) < round(setting.positive * count)
    values = np.repeat(truth, setting.pictures).astype(np.int64)
    patients = np.repeat(np.arange(count), setting.pictures)
    common = _standard(draw, count, setting.pictures)
    sides = []
    for auc in (setting.champion, setting.challenger):
        own = _standard(draw, count, setting.pictures)
        gap = np.sqrt(2) * stats.norm.ppf(auc)
        score = np.sqrt(setting.correlation) * common + np.sqrt(1 - setting.correlation) * own + gap * (values - 0.5)
        sides.append(Side(np.stack([-score, score], axis=1), (score > 0).astype(np.int64)))
    return Trial(
        target=TARGET,
        values=values,
        champion=sides[0],
        challenger=sides[1],
        patients=patients,
        attributes=[{"site": str(patient % setting.sites)} for patient in patients] if setting.sites else (),
        look=setting.look,
    )


def drawn(setting: Outlines, draw: np.random.Generator) -> Drawn:
    """One pair of models that outline, on one test set."""
    count = setting.cases // setting.pictures
    common, hard = (_standard(draw, count, setting.pictures) for _ in range(2))
    sides = []
    for mean in (setting.champion, setting.challenger):
        quality, luck = (_shared(each, setting, draw) for each in (common, hard))
        found = special.expit(_centre(mean, setting.missed) + _SPREAD * quality)
        dice = np.where(luck < stats.norm.ppf(setting.missed), 0.0, found)
        sides.append(np.stack([dice, dice], axis=1))
    patients = np.repeat(np.arange(count), setting.pictures)
    return Drawn(target=OUTLINES, champion=sides[0], challenger=sides[1], patients=patients, look=setting.look)


def _shared(common: Floats, setting: Outlines, draw: np.random.Generator) -> Floats:
    """Standard normal numbers, correlated with the common ones."""
    own = _standard(draw, setting.cases // setting.pictures, setting.pictures)
    return np.asarray(np.sqrt(setting.correlation) * common + np.sqrt(1 - setting.correlation) * own)


@cache
def _centre(mean: float, missed: float) -> float:
    """Where the middle case lies on the logit scale, so that all cases have this mean."""
    nodes = _SPREAD * stats.norm.ppf((np.arange(2000) + 0.5) / 2000)
    return float(optimize.brentq(lambda at: (1 - missed) * special.expit(at + nodes).mean() - mean, -10, 20))


def _standard(draw: np.random.Generator, count: int, pictures: int) -> Floats:
    """``(count * pictures,)`` standard normal numbers, correlated 0.5 within a patient where there are several pictures."""
    if pictures == 1:
        return draw.standard_normal(count)
    shared = np.repeat(draw.standard_normal(count), pictures)
    return np.asarray((shared + draw.standard_normal(count * pictures)) / np.sqrt(2))
