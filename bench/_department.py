"""A department made for measuring: readers with tokens, small pictures whose truth is known, proposals for all of them."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from medloop import readers, store
from medloop.compute import Compute
from medloop.store import Store, accounts, models, proposals, settings, studies
from medloop.store.records import ModelRow, ProposalRow, StudyRow
from medloop.types import ImageRef

CLASSES = ("well", "sick")
_PASSWORD = "a department for measuring"


@dataclass(frozen=True)
class Department:
    """``tokens``: one a reader. ``engineer``: the token of one. ``truth``: the class of each case by its number."""

    root: Path
    tokens: tuple[str, ...]
    engineer: str
    truth: dict[int, str]


def furnish(root: Path, people: int, cases: int, pictures: int) -> Department:
    """A workspace with ``people`` readers and ``cases`` cases that show ``pictures`` different pictures in turn."""
    opened = store.open(root)
    try:
        settings.put(
            opened,
            {"target": {"kind": "binary", "classes": list(CLASSES), "name": "classes"}, "retrain_after": 0, "quiet_s": 0},
            "setup",
        )
        tokens = tuple(_person(opened, f"reader {number}", "reader") for number in range(people))
        engineer = _person(opened, "engineer", "engineer")
        refs = _pictures(opened, root / "made", pictures)
        truth = dict(_case(opened, refs[at % pictures], at, at % pictures) for at in range(cases))
        model = models.add(opened, ModelRow(name="made", path="models/made", family="classical"), "setup")
        made = [
            ProposalRow(
                case_id=case, model_id=model.id, label=label, confidence=0.9, probabilities=_sure(label), priority=case / 1e6
            )
            for case, label in truth.items()
        ]
        for at in range(0, len(made), 500):
            proposals.append(opened, made[at : at + 500], "setup")
        return Department(root, tokens, engineer, truth)
    finally:
        opened.close()


def _person(opened: Store, name: str, role: str) -> str:
    account = accounts.add(opened, name, role, _PASSWORD, "setup")
    return accounts.add_token(opened, account.id, "measuring", "setup")


def _sure(label: str) -> dict[str, float]:
    return {each: 0.9 if each == label else 0.1 for each in CLASSES}


def _pictures(opened: Store, folder: Path, count: int) -> list[ImageRef]:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(5)
    for number in range(count):
        (folder / f"p{number:04}.png").write_bytes(_png(rng, sick=number % 2 == 1))
    with Compute(0) as compute:
        refs = readers.collect(folder, compute=compute).refs
    kept = []
    for ref in refs:
        path = opened.blobs.path(opened.blobs.put_file(Path(ref.files[0])))
        kept.append(replace(ref, files=(str(path),), digest=readers.digest(ref)))
    return kept


def _png(rng: np.random.Generator, *, sick: bool) -> bytes:
    """A noisy disc; a sick one has a bright spot in it."""
    y, x = np.mgrid[:48, :48] - 23.5
    picture = 90.0 * (np.hypot(y, x) < rng.uniform(13, 18)) + 40
    if sick:
        angle, far = rng.uniform(0, 2 * np.pi), rng.uniform(0, 8)
        picture += 70 * (np.hypot(y - far * np.sin(angle), x - far * np.cos(angle)) < 4)
    file = io.BytesIO()
    Image.fromarray(np.clip(picture + rng.normal(0, 12, picture.shape), 0, 255).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def _case(opened: Store, ref: ImageRef, number: int, picture: int) -> tuple[int, str]:
    row = StudyRow(name=f"case {number}", content=f"case {number}", patient=f"patient {number}", refs=(ref,), state="ready")
    return studies.add(opened, row, "setup")[0], CLASSES[picture % 2]
