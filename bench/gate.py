"""How often the gate lets a challenger in that is no better, and how often one that is: simulated pairs of models, whole gate.

Scores are normal within each class and correlated between the models; each model decides where sensitivity and specificity are
equal. Classes of 30 cases can veto, as in the product. Beside it: whoever has the higher AUC wins.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from bench.core import Row
from medloop.evaluation import gate
from medloop.evaluation.comparison import Side
from medloop.evaluation.gate import Decision, Rules, Trial
from medloop.types import Floats, Target, TargetKind

TARGET = Target(TargetKind.BINARY, ("well", "sick"))
ROUNDS, SEED = 1000, 0
_LIVES = 200


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
        several = f", {self.pictures} pictures a patient" if self.pictures > 1 else ""
        sites = f", {self.sites} sites" if self.sites else ""
        return (
            f"AUC {self.champion:.2f} to {self.challenger:.2f}, {self.cases} cases ({100 * self.positive:.0f} % positive"
            f"{several}{sites}), correlation {self.correlation}, look {self.look}"
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


def rows() -> Iterator[Row]:
    """The two promised shares, a table of other settings, and the whole life of a test set."""
    yield _row("false promotions kept out", Setting(), kept_out=True)
    yield _row("true promotions", BETTER, kept_out=False)
    for setting in _SAME:
        yield _row(f"kept out, no better: {setting}", setting, kept_out=True)
    for setting in _BETTER:
        yield _row(f"promoted, better: {setting}", setting, kept_out=False)
    yield _lives()


def _row(what: str, setting: Setting, *, kept_out: bool) -> Row:
    draw = np.random.default_rng(SEED)
    verdicts = [gate.judge(trial(setting, draw)) for _ in range(ROUNDS)]
    promoted = float(np.mean([each.decision is Decision.PROMOTED for each in verdicts]))
    person = float(np.mean([each.decision is Decision.NEEDS_PERSON for each in verdicts]))
    higher = float(np.mean([each.gain is not None and each.gain.difference > 0 for each in verdicts]))
    share, beside = (1 - promoted, 1 - higher) if kept_out else (promoted, higher)
    low, high = stats.binomtest(round(share * ROUNDS), ROUNDS).proportion_ci()
    return Row(
        what=what,
        figure=share,
        unit="share",
        baseline="whoever has the higher AUC wins",
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


def _standard(draw: np.random.Generator, count: int, pictures: int) -> Floats:
    """``(count * pictures,)`` standard normal numbers, correlated 0.5 within a patient where there are several pictures."""
    if pictures == 1:
        return draw.standard_normal(count)
    shared = np.repeat(draw.standard_normal(count), pictures)
    return np.asarray((shared + draw.standard_normal(count * pictures)) / np.sqrt(2))
