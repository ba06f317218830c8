"""A store with cases of small pictures, as ingest would have put them there, some of them labelled."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from medloop import readers
from medloop.compute import Compute
from medloop.store import Store, labels, studies
from medloop.store.records import LabelRow, StudyRow
from tests.loop.conftest import blob


def fill(
    store: Store,
    folder: Path,
    patients: int,
    *,
    seed: int = 3,
    frozen: int = 0,
    labelled: bool = True,
    whose: str = "Zyxwv",
    level: int = 6,
    state: str = "done",
) -> list[int]:
    """One picture a patient, every second one sick; the first ``frozen`` patients are of the frozen test set. Their numbers."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    for patient in range(patients):
        Pillow.fromarray(blob(rng, patient % 2 == 1)).save(folder / f"p{patient:03}.png", compress_level=level)
    with Compute(0) as compute:
        refs = readers.collect(folder, compute=compute).refs
    numbers = []
    for patient, ref in enumerate(refs):
        number = keep(store, ref, f"{whose}^{patient}", frozen=patient < frozen, state=state)
        numbers.append(number)
        if labelled:
            said = LabelRow(case_id=number, value="sick" if patient % 2 else "well", provenance="human", author="ann")
            labels.append(store, said, "ann")
    return numbers


def keep(store: Store, ref, patient: str, *, frozen: bool = False, state: str = "done") -> int:
    """One study of one image."""
    file = Path(ref.files[0])
    kept = replace(ref, files=(str(store.blobs.path(store.blobs.put_file(file))),), digest=readers.digest(ref))
    content = hashlib.sha256(f"{file.name} {patient}".encode() + file.read_bytes()).hexdigest()
    row = StudyRow(name=file.name, content=content, patient=patient, refs=(kept,), state=state, frozen=frozen, site="here")
    return studies.add(store, row, "test")[0]
