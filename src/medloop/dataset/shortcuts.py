"""Labels that can be told without looking at the anatomy: from a number in a name, a size, a scanner, a black border.

Each fact alone is given to a tiny model, judged by grouped cross-validation on training and validation cases. What is reported is
well above chance (99.9 % bound of the AUC after Hanley and McNeil, Radiology 1982, counted in groups) and strong enough to matter.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold
from sklearn.tree import DecisionTreeRegressor

from medloop.cache.pictures import Pictures
from medloop.types import Array, Case, Dataset, Floats, Integers, Json, Split, TargetKind

STRONG = 0.8
"""AUC from which a fact of the file or the acquisition is reported."""
STRONG_PICTURE = 0.9
"""AUC from which plain brightness is reported: it may follow from the disease itself."""
CORRELATED = 0.6
"""The same two for a number to be learnt: correlation of predicted and true values."""
CORRELATED_PICTURE = 0.8
_BOUND = 3.09
_ABOVE_CHANCE = 0.6
_RELATED = 0.3
_FEWEST = 10
_FOLDS = 5
_LEAVES = 8
_MANY = 10
_LONGEST_NUMBER = 12
_SHOWN = 4
_CALLED = {
    "axes": "direction of the axes",
    "file_bytes": "file size",
    "format": "file format",
    "bits": "stored bits",
    "kvp": "tube voltage (kVp)",
}
_NO_SHORTCUT = {"rows", "columns", "sop_uid", "sex", "age_years", "age_band", "burned_in_annotation"}


@dataclass(frozen=True, slots=True, eq=False)
class Fact:
    """One thing known of each of N cases: ``values`` are numbers ``(N, D)`` with NaN for unknown, or texts ``(N,)``.

    ``picture``: measured in the pixels. ``hidden``: a model that sees pixels cannot read it. ``open``: the texts name no patient.
    """

    name: str
    values: Array
    picture: bool = False
    hidden: bool = False
    open: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class _Question:
    """What is to be told: ``truth`` ``(M,)`` of the cases ``at`` ``(M,)``; ``name``: the class, None where one question is all."""

    name: str | None
    at: Integers
    truth: Floats
    number: bool


def find(dataset: Dataset, pictures: Pictures, rows: Integers, seed: int = 0) -> list[dict[str, Json]]:
    """Shortcuts, strongest first: ``from``, ``auc`` (``correlation`` for a number to be learnt), ``class``, ``cases``, ``says``.

    ``rows``: ``(N,)`` the row in ``pictures`` of each case. ``class`` is the class told best, None where there are only two.
    Test cases are not looked at. Fewer than 10 groups of a class, or than 20 groups in all, tell nothing.
    """
    seen = dataset.indices(Split.TRAIN.value, Split.VAL.value)
    groups = np.asarray(dataset.groups[seen])
    if len(np.unique(groups)) < 2 * _FEWEST:
        return []
    questions = list(_questions(dataset, seen))
    found = []
    for fact in facts([dataset.cases[at] for at in seen], pictures, np.asarray(rows)[seen]):
        answers = [(*_strength(fact, question, groups, seed), question) for question in questions]
        strength, sure, question = max(answers, key=lambda answer: (answer[1], answer[0]), default=(0.0, False, None))
        if question is not None and sure:
            found.append(_told(fact, question, strength))
    return sorted(found, key=lambda each: -float(each.get("auc") or each["correlation"]))


def facts(cases: Sequence[Case], pictures: Pictures, rows: Integers) -> Iterator[Fact]:
    """What is known of the cases besides the content of their pixels, where it differs between them."""
    for fact in (*_names(cases), *_acquisition(cases), *_sizes(pictures, rows)):
        if len(np.unique(fact.values, axis=0)) > 1:
            yield fact


def _names(cases: Sequence[Case]) -> Iterator[Fact]:
    stems = [_stem(case.images[0].name) for case in cases]
    yield Fact("number in the name", _numbers(stems), hidden=True)
    yield Fact("pattern of the name", np.array([re.sub(r"\d+", "0", stem).lower() for stem in stems]), hidden=True)
    yield Fact("patient ID", _numbers([case.patient or "" for case in cases]), hidden=True)


def _acquisition(cases: Sequence[Case]) -> Iterator[Fact]:
    for name in sorted({name for case in cases for name, _ in case.images[0].facts} - _NO_SHORTCUT):
        yield Fact(
            _CALLED.get(name, name.replace("_", " ")), _typed([case.images[0].fact(name) or "" for case in cases]), open=True
        )
    yield Fact("site", np.array([case.site or "" for case in cases]), open=True)
    yield Fact("number of images", np.array([[len(case.images)] for case in cases], dtype=np.float64))


def _sizes(pictures: Pictures, rows: Integers) -> Iterator[Fact]:
    shapes = pictures.shapes[rows].astype(np.float64)
    height, width = shapes[:, 3], shapes[:, 4]
    yield Fact("image size", np.column_stack([shapes, height * width, width / height]))
    yield Fact("brightness of the border", pictures.fact("border")[rows][:, None].astype(np.float64), picture=True)
    yield Fact("mean brightness", pictures.fact("mean")[rows][:, None].astype(np.float64), picture=True)
    yield Fact("contrast", pictures.fact("std")[rows][:, None].astype(np.float64), picture=True)
    yield Fact(
        "range of grey values",
        np.column_stack([pictures.fact("low")[rows], pictures.fact("high")[rows]]).astype(np.float64),
        picture=True,
    )


def _stem(name: str) -> str:
    """The last part of a name, without folders (they may be the classes) and ending; the index of an item of an ``.npz``."""
    path, _, item = name.partition("#")
    return PurePosixPath(item or path).stem


def _numbers(texts: Sequence[str]) -> Floats:
    """``(N, 2)``: the first and the last number in each text, NaN where there is none or it is a UID."""
    numbers = np.full((len(texts), 2), np.nan)
    for at, text in enumerate(texts):
        parts = [float(part) for part in re.findall(r"\d+", text) if len(part) <= _LONGEST_NUMBER]
        if parts:
            numbers[at] = parts[0], parts[-1]
    return numbers


def _typed(texts: Sequence[str]) -> Array:
    """Numbers where nearly all texts are numbers of many values, else the texts."""
    known = [text for text in texts if text]
    numeric = [text for text in known if re.fullmatch(r"[-+]?\d+(\.\d*)?([eE][-+]?\d+)?", text)]
    if len(numeric) < 0.9 * len(known) or len(set(numeric)) < _MANY:
        return np.array(texts)
    plain = set(numeric)
    return np.array([[float(text) if text in plain else np.nan] for text in texts])


def _questions(dataset: Dataset, seen: Integers) -> Iterator[_Question]:
    """One for a number or two classes, otherwise one for each class against the rest; cases with unknown labels are left out."""
    values = np.asarray(dataset.values[seen], dtype=np.float64)
    classes = dataset.target.classes
    known = np.arange(len(values)) if dataset.class_known is None else np.flatnonzero(dataset.class_known[seen])
    if dataset.target.kind.structured:
        return
    if dataset.target.kind is TargetKind.NUMBER:
        yield _Question(None, np.flatnonzero(np.isfinite(values)), values[np.isfinite(values)], True)
    elif dataset.target.kind is TargetKind.MULTILABEL:
        for name, column in zip(classes, values.T, strict=True):
            known = np.flatnonzero(np.isfinite(column))
            yield _Question(name, known, column[known], False)
    else:
        for index, name in enumerate(classes):
            if len(classes) > 2 or index == 1:
                yield _Question(name if len(classes) > 2 else None, known, (values[known] == index).astype(float), False)


def _strength(fact: Fact, question: _Question, groups: Integers, seed: int) -> tuple[float, bool]:
    """The cross-validated AUC (or correlation), and whether it is both surely above chance and strong."""
    truth, values, group = question.truth, fact.values[question.at], groups[question.at]
    if question.number:
        if len(np.unique(group)) < 2 * _FEWEST or truth.std() == 0:
            return 0.0, False
        guess = _guessed(values, truth, group, seed)
        strength = float(np.corrcoef(guess, truth)[0, 1]) if guess.std() > 0 else 0.0
        low = np.tanh(np.arctanh(min(strength, 0.999)) - _BOUND / np.sqrt(len(np.unique(group)) - 3))
        return strength, bool(low > _RELATED and strength >= (CORRELATED_PICTURE if fact.picture else CORRELATED))
    sick, well = (len(np.unique(group[truth == value])) for value in (1, 0))
    if min(sick, well) < _FEWEST:
        return 0.0, False
    strength = float(roc_auc_score(truth, _guessed(values, truth, group, seed)))
    low = strength - _BOUND * _auc_error(strength, sick, well)
    return strength, bool(low > _ABOVE_CHANCE and strength >= (STRONG_PICTURE if fact.picture else STRONG))


def _guessed(values: Array, truth: Floats, groups: Integers, seed: int) -> Floats:
    """``(M,)``: each truth as guessed from the fact by a model that has not seen the case's group."""
    guess = np.zeros(len(truth))
    for train, held in GroupKFold(_FOLDS, shuffle=True, random_state=seed).split(values, groups=groups):
        if values.ndim == 2:
            tree = DecisionTreeRegressor(max_leaf_nodes=_LEAVES, min_samples_leaf=max(3, len(train) // 100), random_state=seed)
            guess[held] = tree.fit(values[train], truth[train]).predict(values[held])
        else:
            guess[held] = _means(values[train], truth[train], values[held])
    return guess


def _means(texts: Array, truth: Floats, asked: Array) -> Floats:
    """The mean truth of each text, drawn towards the mean of all by one case."""
    names, code = np.unique(texts, return_inverse=True)
    overall = truth.mean()
    means = (np.bincount(code, truth) + overall) / (np.bincount(code) + 1)
    table = dict(zip(names, means, strict=True))
    return np.array([table.get(text, overall) for text in asked])


def _auc_error(auc: float, sick: int, well: int) -> float:
    """Standard error of an AUC (Hanley and McNeil)."""
    one, two = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = auc * (1 - auc) + (sick - 1) * (one - auc**2) + (well - 1) * (two - auc**2)
    return float(np.sqrt(variance / (sick * well)))


def _told(fact: Fact, question: _Question, strength: float) -> dict[str, Json]:
    what = "The label" if question.name is None else f"Class '{question.name}'"
    figure = f"correlation {strength:.2f}" if question.number else f"AUC {strength:.2f}"
    says = f"{what} can be told from the {fact.name} alone: {figure}.{_shares(fact, question)}"
    if fact.hidden:
        says += " A model does not see it, but cases that stand together may share a scanner, a day or a reader."
    return {
        "from": fact.name,
        "correlation" if question.number else "auc": round(strength, 4),
        "class": question.name,
        "cases": len(question.at),
        "says": says,
    }


def _shares(fact: Fact, question: _Question) -> str:
    """How the commonest values of an open fact divide the cases."""
    values = fact.values[question.at]
    if not fact.open or values.ndim == 2 or question.number:
        return ""
    parts = []
    for text, count in Counter(values.tolist()).most_common(_SHOWN):
        share = question.truth[values == text].mean()
        parts.append(f"{text or 'not stated'}: {share:.0%} of {count}")
    return f" Positive: {'; '.join(parts)}."
