"""Makes the small department: studies through ingest, proposals through the store, as a quick model would give them."""

from __future__ import annotations

import csv
import gzip
import json
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import nibabel
import numpy as np
from PIL import Image as Pillow

from medloop import readers, store
from medloop.loop.ingest import ingest
from medloop.requests import IngestRequest
from medloop.samples import phantom_ct
from medloop.store import Store, accounts, labels, models, proposals, settings, studies
from medloop.store.records import LabelRow, ModelRow, ProposalRow, StudyRow
from medloop.types import Provenance
from medloop.web.decoded import decoded
from medloop.workspace import Workspace

PASSWORD = "correct horse battery"
CLASSES = ["no tumour", "tumour"]
HOSTILE = "<img src=x onerror=alert(1)>'; DROP TABLE studies; --"


@dataclass(frozen=True)
class Department:
    """Where it lies; numbers of its studies by kind."""

    root: Path
    ct: tuple[int, ...]
    flat: tuple[int, ...]
    password: str = PASSWORD


def furnished(root: Path, patients: int = 4, flat: int = 4) -> Department:
    """A workspace with phantom patients and one more study, flat pictures, proposals for all, readers, an engineer, an admin."""
    source, place = root / "source", root / "workspace"
    phantom_ct.write(source / "ct", patients=patients, seed=2, workers=0)
    _pictures(source / "flat", flat)
    opened = store.open(place)
    target = {"kind": "binary", "classes": CLASSES, "name": "classes"}
    settings.put(opened, {"test_share": 0.0, "blind_share": 0.0, "target": target}, "admin")
    for name, role in (("ann", "reader"), ("ben", "reader"), ("cleo", "adjudicator"), ("eve", "engineer"), ("root", "admin")):
        accounts.add(opened, name, role, PASSWORD, "admin")
    model = models.add(opened, ModelRow(name="quick", path="models/quick", family="classical", state="challenger"), "admin")
    ct = tuple(ingest(Workspace(place), IngestRequest(src=str(source / "ct" / "images"), workers=0)).fresh)
    ct += (_again(opened, ct[0]),)
    pictures = tuple(ingest(Workspace(place), IngestRequest(src=str(source / "flat"), workers=0)).fresh)
    _propose_ct(opened, ct, source / "ct", model.id)
    _propose_flat(opened, pictures, model.id)
    for row in studies.many(opened, ct + pictures):
        decoded(Workspace(place).cache, row.refs[0])
    opened.close()
    return Department(place, ct, pictures)


def _again(opened: Store, number: int) -> int:
    """The same patient a year later."""
    row = studies.get(opened, number)
    named = replace(row, id=0, content=f"{row.content}-again", name=row.name.replace("/1#", "/2#"), study=f"{row.study}.2")
    named = replace(named, state="ready")
    return studies.add(opened, replace(named, arrived=row.arrived + timedelta(days=365)), "admin")[0]


def _pictures(folder: Path, count: int) -> None:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:200, :240]
    for number in range(count):
        disc = 120.0 * (np.hypot(y - 100, x - 120) < 70) + 60 * (np.hypot(y - 80, x - 140) < 14) * (number % 2)
        Pillow.fromarray(np.clip(disc + rng.normal(30, 9, disc.shape), 0, 255).astype(np.uint8)).save(folder / f"p{number}.png")


def _propose_ct(opened: Store, numbers: tuple[int, ...], source: Path, model: int) -> None:
    """The truth about lesions as proposals, the surer the bigger the lesion."""
    values = {row["value"]: row for row in csv.DictReader((source / "masks" / "values.csv").read_text().splitlines())}
    made = []
    rows = studies.many(opened, numbers)
    for at, row in enumerate(rows):
        mask, name = _mask(source, row, values)
        share = 0.97 - 0.07 * at if mask.any() else 0.06 + 0.05 * at
        size = float((mask > 0).sum() * np.prod(row.refs[0].spacing_mm or (1, 1, 1)) / 1000)
        made.append(
            ProposalRow(
                case_id=row.id,
                model_id=model,
                label=CLASSES[share > 0.5],
                confidence=max(share, 1 - share),
                probabilities=dict(zip(CLASSES, (1 - share, share), strict=True)),
                decision="accept" if max(share, 1 - share) > 0.93 else "person",
                why="" if max(share, 1 - share) > 0.93 else "Its confidence is below what the promised error rate needs.",
                standards=[{"class": "tumour", "standard": "SNOMED CT", "code": "126851005", "name": "Neoplasm of liver"}],
                summary=f"Liver: {'tumour' if mask.any() else 'no tumour'} seen in {name}.",
                findings={
                    "mask": {"blob": _kept(opened, mask), "classes": ["tumour"], "target": "masks"},
                    "measures": [{"name": "volume", "value": size, "unit": "ml"}],
                    "violations": [{"rule": "volume", "value": f"{size:.0f} ml", "allowed": "up to 5 ml"}] if size > 5 else [],
                },
                priority=1.0 - abs(share - 0.5),
            )
        )
    confirmed = rows[3]
    labels.append(opened, LabelRow(case_id=confirmed.id, value=CLASSES[0], provenance=Provenance.IMPORTED.value), "admin")
    for each in made[:3]:
        each.nearest.append({"case_id": confirmed.id, "label": CLASSES[0], "distance": 0.4})
    proposals.append(opened, made, "quick")


def _propose_flat(opened: Store, numbers: tuple[int, ...], model: int) -> None:
    box = {"z0": 0, "y0": 60, "x0": 120, "z1": 1, "y1": 100, "x1": 160, "class": 1, "score": 0.8}
    made = [
        ProposalRow(
            case_id=number,
            model_id=model,
            label=CLASSES[at % 2],
            confidence=0.9,
            probabilities=dict(zip(CLASSES, (0.9, 0.1) if at % 2 == 0 else (0.1, 0.9), strict=True)),
            findings={"boxes": {"classes": CLASSES, "boxes": [box] if at % 2 else [], "target": "boxes"}},
            priority=0.1,
        )
        for at, number in enumerate(numbers)
    ]
    proposals.append(opened, made, "quick")


def _mask(source: Path, row: StudyRow, values: dict[str, dict[str, str]]) -> tuple[np.ndarray, str]:
    """The study's tumours ``(Z, Y, X)`` on the grid of its image as read."""
    image = readers.read(row.refs[0])
    name = row.name.split("/")[0]
    file = next((source / "masks").glob(f"{name}_1.nii.gz"))
    found = nibabel.Nifti1Image.from_bytes(gzip.decompress(file.read_bytes()))
    voxels = np.asarray(found.dataobj).transpose(2, 1, 0)
    ras = np.diag([-1.0, -1, 1, 1]) @ found.affine
    for axis in range(3):
        if image.affine_lps is not None and ras[:3, axis] @ np.asarray(image.affine_lps)[:3, axis] < 0:
            voxels = np.flip(voxels, 2 - axis)
    tumour = [int(value) for value, about in values.items() if "tumour" in json.dumps(about)]
    return np.isin(voxels, tumour).astype(np.uint8), name


def _kept(opened: Store, mask: np.ndarray) -> str:
    volume = nibabel.Nifti1Image(mask.transpose(2, 1, 0), np.eye(4))
    return opened.blobs.put(gzip.compress(volume.to_bytes(), mtime=0), ".nii.gz")
