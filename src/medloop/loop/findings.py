"""What a model finds in a case as the store keeps it, and how it is read again: masks, boxes, measures, broken rules, heat."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medloop import families, prepared, readers
from medloop.compute import Compute
from medloop.errors import Unreadable
from medloop.families import Model
from medloop.loop._drawn import EDGES, mask_blob
from medloop.loop._found import measured
from medloop.loop._learnt import read_learnt
from medloop.loop._runs import find_model
from medloop.loop._stored import case_of
from medloop.prepared.back import map_as_read
from medloop.readers import outline
from medloop.store import Store, models, proposals, studies
from medloop.store.records import ProposalRow, StudyRow
from medloop.targets import boxes
from medloop.types import Findings, ImageRef, Json, Target, TargetKind
from medloop.workspace import Workspace, write_bytes

HEAT = "heat"


@dataclass(frozen=True, slots=True)
class Kinds:
    """The structured targets of a model: of masks, of boxes (None: it has none), and the units of its measures."""

    outlined: Target | None
    boxed: Target | None
    units: Mapping[str, str]

    @classmethod
    def of(cls, targets: Sequence[Target]) -> Kinds:
        """From what a model answers beside classes."""
        by_kind = {each.kind: each for each in targets}
        measures = by_kind.get(TargetKind.MEASURES)
        units = (
            {} if measures is None else dict(zip(measures.classes, measures.units or ("",) * len(measures.classes), strict=True))
        )
        return cls(by_kind.get(TargetKind.MASKS), by_kind.get(TargetKind.BOXES), units)


def kept(found: Findings, ref: ImageRef, kinds: Kinds, store: Store) -> dict[str, Json]:
    """Findings as a proposal keeps them: ``mask`` (blob and classes), ``boxes``, ``measures``, ``violations``."""
    told: dict[str, Json] = {}
    values: dict[str, float] = dict(found.measures)
    units = dict(kinds.units)
    if kinds.outlined is not None and found.mask is not None:
        image = readers.read(ref)
        more, of_mask = measured(found, image, kinds.outlined)
        values, units = more | values, of_mask | units
        key = store.blobs.put(*mask_blob(found.mask, image.affine_lps, ref))
        told["mask"] = {"blob": key, "classes": list(kinds.outlined.classes), "target": kinds.outlined.name}
    if kinds.boxed is not None and found.boxes is not None:
        told["boxes"] = _boxes(found, kinds.boxed)
    if values:
        known = {name: value for name, value in values.items() if np.isfinite(value)}
        told["measures"] = [{"name": name, "value": float(value), "unit": units.get(name, "")} for name, value in known.items()]
    if found.violations:
        told["violations"] = [{"rule": each.rule, "value": each.value, "allowed": each.allowed} for each in found.violations]
    return told


def read_mask(store: Store, key: str) -> NDArray[np.uint8]:
    """``(Z, Y, X)`` in voxels of the image as read, 0 for none and k + 1 for the k-th class, from a blob of any of its forms.

    Raises `InputError` where there is no such blob, and `Unreadable` for one that is no mask.
    """
    return outline.decoded(store.blobs.get(key), key)


def heat_of(store: Store, proposal: int, compute: Compute | None = None) -> NDArray[np.uint8] | None:
    """Where the model looked for a proposal: ``(Z, Y, X)`` from 0 to 255 on the grid of the image as read. None: it cannot be told.

    Worked out when it is first asked for, and kept in the workspace's cache. Raises `InputError` for a proposal that is not there.
    """
    made = proposals.get(store, proposal)
    file = store.root / "cache" / HEAT / f"{made.model_id}-{proposal}.npz"
    if not file.exists():
        heat = _heat(store, made, compute or Compute(0))
        out = io.BytesIO()
        np.savez_compressed(out, heat=np.zeros(0, np.uint8) if heat is None else heat)
        write_bytes(file, out.getvalue())
    with np.load(file, allow_pickle=False) as kept_:
        heat = kept_["heat"]
    return heat if heat.size else None


def folder_of(store: Store, model_id: int) -> Path:
    """The folder of a model of the store. Raises `InputError`."""
    row = models.get(store, model_id)
    return find_model(Workspace(store.root), str(store.root / row.path))


def images_of(row: StudyRow, store: Store) -> ImageRef:
    """The image of a study, its files on this machine, under a name that tells nobody who it is."""
    ref = case_of(studies.local(store, row)).images[0]
    return replace(ref, patient=row.patient)


def _heat(store: Store, made: ProposalRow, compute: Compute) -> NDArray[np.uint8] | None:
    if made.model_id <= 0 or not made.label:
        return None
    place = folder_of(store, made.model_id)
    model, learnt = families.load(place), read_learnt(place)
    ref = images_of(studies.get(store, made.case_id), store)
    if model.target.kind.structured or not learnt.kind([ref]).kept:
        return None
    cache = store.root / "cache"
    seen = prepared.survey([ref], cache=cache, steps=model.preparation, compute=compute, pictures=False)
    if seen.arrays is None or not seen.refs:
        return None
    heat = families.explain(model, seen.arrays, np.array([0]), np.array([_choice(model, made)]), compute=compute)
    geometry = prepared.geometry_of(seen, compute=compute)
    try:
        placed = map_as_read(heat[0], geometry, 0)
    except Unreadable:
        return None
    return np.asarray(np.rint(255 * np.clip(placed, 0, 1)), np.uint8)


def _choice(model: Model, made: ProposalRow) -> int:
    """Which answer is explained: the one given; for multi-label the most probable; numbers: 0."""
    if model.target.kind is TargetKind.NUMBER:
        return 0
    if model.target.kind is TargetKind.MULTILABEL:
        return int(np.argmax([made.probabilities.get(name, 0.0) for name in model.target.classes]))
    return model.target.classes.index(made.label)


def _boxes(found: Findings, target: Target) -> dict[str, Json]:
    shown = boxes.shown(boxes.of_findings(found))
    rows = zip(shown.edges.tolist(), shown.classes.tolist(), shown.scores.tolist(), strict=True)
    told = [dict(zip(EDGES, edges, strict=True)) | {"class": int(kind), "score": float(score)} for edges, kind, score in rows]
    return {"target": target.name, "classes": list(target.classes), "boxes": told}
