"""Abdominal CT phantoms: a small collection that is made, with a truth that is known exactly.

Each patient has a body of its own (build, fat, organ sizes, tilt, vessels, filling of stomach and bowel), one or two studies at one
of two fictional sites, and a diagnosis:

- ``tumour``: one liver tumour (in 20 % of the ill), a few (2 to 6, 35 %) or many (8 to 16, 45 %); darker than the liver by 28 to
  60 HU, of irregular and soft boundary, some with a dark core or a bright rim; a third of these patients have cysts as well;
- ``no tumour``: half of these patients have one to three cysts (near water, smooth, sharp), the others nothing. Cysts are harmless:
  a dark spot alone says nothing, and so does the gallbladder.

Site, scanner, slice thickness, sex, age and the number of studies are dealt evenly within each diagnosis; dose, build and position
are drawn without knowing it: nothing but the picture tells the diagnosis. At a second study tumours have grown or shrunk; cysts
have not.

What is written::

    images/P0001/1/IM0001.dcm ...   one CT series a study (RLE lossless)
    labels.csv                      study_uid, patient, diagnosis, site, sex, age, study_date
    lesions.csv                     one row a lesion and study: kind, centre, longest diameter, volume, irregularity
    masks/P0001_1.nii.gz            label map of each study, on the same grid
    masks/values.csv                what its values mean
    codes.toml                      the diagnoses in SNOMED CT, ICD-10 and RadLex: a mapping for proposals
    README.txt

Equal seeds give equal bytes. The first patients of a larger collection are not those of a smaller one.
"""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np

from medloop.compute import Compute, Died
from medloop.errors import InputError, MedloopError
from medloop.progress import QUIET, Progress
from medloop.requests import SampleResult
from medloop.samples._body import ORGANS, draw_body
from medloop.samples._lesions import Lesion, draw_lesions, measure
from medloop.samples._scanner import SCANNERS, Acquisition, draw_acquisition, scan, to_scanner
from medloop.samples._series import Header, write_mask, write_series
from medloop.workspace import write_folder

PATIENTS = 80
"""Patients of the usual collection."""
_BURDEN = ((1, 2), (2, 7), (8, 17))
"""From and below how many tumours: in 20, 35 and 45 % of the ill."""
_FEWEST = 4
_MOST = 5000
_LABELS = ("study_uid", "patient", "diagnosis", "site", "sex", "age", "study_date")
_LESIONS = ("study_uid", "patient", "study", "lesion", "kind", "x_mm", "y_mm", "z_mm", "longest_mm", "volume_ml", "irregularity")
_README = """Abdominal CT phantoms, made by medloop from seed {seed}: {patients} patients, {studies} studies.
Nobody here is a person.

images/      one DICOM CT series a study
labels.csv   one row a study: tumour or no tumour
lesions.csv  one row a lesion and study: kind, centre (LPS mm), longest diameter (mm), volume (ml), irregularity (spread of the
             radius over its mean)
masks/       label maps (NIfTI) on the grid of the images; values.csv says what their values mean
codes.toml   the diagnoses in SNOMED CT, ICD-10 and RadLex, for medloop propose --mapping

medloop learn images --labels labels.csv
"""
_CODES = """[classes.tumour]
snomed = "300331000"
icd10 = "D37.6"
radlex = "RID39466"

[classes."no tumour"]
snomed = "281900007"
icd10 = "Z03.9"
radlex = "RID13173"
"""


@dataclass(frozen=True, slots=True)
class Patient:
    """What is dealt to a patient before anything is drawn. ``studies``: slice thickness of each, in mm."""

    number: int
    seed: int
    tumours: int
    cysts: int
    scanner: int
    sex: str
    age: int
    studies: tuple[float, ...]

    @property
    def name(self) -> str:
        """The patient's ID."""
        return f"P{self.number:04d}"

    @property
    def diagnosis(self) -> str:
        """The label of every study of this patient."""
        return "tumour" if self.tumours else "no tumour"


@dataclass(frozen=True, slots=True)
class _Job:
    patient: Patient
    folder: Path


@dataclass(frozen=True, slots=True)
class _Done:
    files: int
    labels: list[tuple[object, ...]]
    lesions: list[tuple[object, ...]]


def write(
    folder: Path, seed: int = 0, patients: int | None = None, tell: Progress = QUIET, workers: int | None = None
) -> SampleResult:
    """Write the collection into ``folder``, which must be new or empty; it appears whole or not at all.

    Raises `InputError` for a folder with something in it, and for a number of patients that makes no collection.
    """
    start = time.perf_counter()
    folder, number = Path(folder).expanduser().absolute(), PATIENTS if patients is None else patients
    _check(folder, number)
    dealt = deal(seed, number)
    with write_folder(folder) as beside, Compute(workers) as compute:
        (beside / "masks").mkdir()
        jobs = [_Job(patient, beside) for patient in dealt]
        done = [_alive(each) for each in compute.map(_write_patient, jobs, label="Drawing patients", total=number, tell=tell)]
        labels = [row for each in done for row in each.labels]
        _table(beside / "labels.csv", _LABELS, labels)
        _table(beside / "lesions.csv", _LESIONS, (row for each in done for row in each.lesions))
        _table(
            beside / "masks" / "values.csv", ("value", "name"), [(0, "other"), *((value, name) for name, value in ORGANS.items())]
        )
        (beside / "codes.toml").write_text(_CODES, encoding="utf-8")
        (beside / "README.txt").write_text(_README.format(seed=seed, patients=number, studies=len(labels)), encoding="utf-8")
    return SampleResult(
        folder=str(folder),
        images=str(folder / "images"),
        files=sum(each.files for each in done),
        patients=number,
        studies=len(labels),
        labels=str(folder / "labels.csv"),
        mapping=str(folder / "codes.toml"),
        seconds=time.perf_counter() - start,
    )


def deal(seed: int, number: int) -> tuple[Patient, ...]:
    """Who has what: within each diagnosis the other facts are dealt evenly, so that none of them tells it."""
    rng = np.random.default_rng([seed, 0])
    ill = (number * 9 + 10) // 20
    sick = _deal_group(rng, ill, tumours=True)
    well = _deal_group(rng, number - ill, tumours=False)
    facts = [*sick, *well]
    order = rng.permutation(number)
    return tuple(Patient(position + 1, seed, *facts[index]) for position, index in enumerate(order))


def _deal_group(rng: np.random.Generator, number: int, *, tumours: bool) -> list[tuple[int, int, int, str, int, tuple[float, ...]]]:
    """``(tumours, cysts, scanner, sex, age, slice thicknesses)`` of each patient of one diagnosis."""

    def even(share: float) -> list[bool]:
        return [bool(value) for value in rng.permutation(np.arange(number) < round(share * number))]

    scanners, female, cystic, again, thin = even(0.5), even(0.5), even(0.33 if tumours else 0.5), even(0.25), even(0.4)
    burden = rng.permutation(np.digitize((np.arange(number) + 0.5) / max(number, 1), (0.2, 0.55)))
    ages = rng.permutation(np.linspace(34, 84, max(number, 1)).round().astype(int))
    facts = []
    for i in range(number):
        thicknesses = SCANNERS[int(scanners[i])].thickness_mm
        chosen = thicknesses[1] if thin[i] else thicknesses[0]
        lumps = int(rng.integers(*_BURDEN[burden[i]])) if tumours else 0
        bubbles = int(rng.integers(1, 4)) if cystic[i] else 0
        sex = "F" if female[i] else "M"
        facts.append((lumps, bubbles, int(scanners[i]), sex, int(ages[i]), (chosen,) * (2 if again[i] else 1)))
    return facts


def _write_patient(job: _Job) -> _Done:
    """Draw and write every study of one patient."""
    patient = job.patient
    rng = np.random.default_rng([patient.seed, 1, patient.number])
    body = draw_body(rng, age=patient.age, female=patient.sex == "F")
    lesions = draw_lesions(rng, body, tumours=patient.tumours, cysts=patient.cysts)
    day, hour = date(2021, 1, 4) + timedelta(days=int(rng.integers(700))), int(rng.integers(8, 17))
    done = _Done(0, [], [])
    for study, thickness_mm in enumerate(patient.studies, start=1):
        take = draw_acquisition(rng, body, patient.scanner, thickness_mm)
        sizes = tuple((lesion, lesion.radius_mm * (lesion.growth if study > 1 else 1.0)) for lesion in lesions)
        picture = scan(body, sizes, take)
        header = Header(patient.name, patient.number, study, patient.seed, patient.sex, patient.age, day, hour)
        files = write_series(job.folder / "images" / patient.name / str(study), picture, take, header)
        write_mask(job.folder / "masks" / f"{patient.name}_{study}.nii.gz", picture, take)
        site = SCANNERS[take.scanner].site
        done.labels.append((header.study_uid, patient.name, patient.diagnosis, site, patient.sex, patient.age, day.isoformat()))
        done.lesions.extend(_lesion_rows(header, sizes, take))
        done = _Done(done.files + files, done.labels, done.lesions)
        day += timedelta(days=int(rng.integers(80, 200)))
    return done


def _lesion_rows(header: Header, sizes: tuple[tuple[Lesion, float], ...], take: Acquisition) -> Iterable[tuple[object, ...]]:
    for number, (lesion, radius_mm) in enumerate(sizes, start=1):
        centre = [round(value, 2) for value in to_scanner(take, lesion.centre_mm)]
        truth = measure(lesion, radius_mm)
        figures = (round(truth.longest_mm, 2), round(truth.volume_ml, 3), round(truth.irregularity, 4))
        yield (header.study_uid, header.patient, header.study, number, lesion.kind, *centre, *figures)


def _check(folder: Path, number: int) -> None:
    if not _FEWEST <= number <= _MOST:
        raise InputError(
            "bad-patients",
            got=f"{number} patients were asked for.",
            allowed=f"{_FEWEST} to {_MOST}.",
            fix="Write --patients 80, or leave it out.",
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(
            "not-empty",
            got=f"{folder} exists and is not an empty folder.",
            allowed="A folder that is new or empty.",
            fix="Name another folder, or remove this one first.",
        )


def _alive(answer: _Done | Died) -> _Done:
    if isinstance(answer, Died):
        raise MedloopError(
            "worker-died",
            got="A process that was drawing a patient was ended from outside.",
            allowed="Enough memory for two processes of about 300 MB.",
            fix="Run it again, with fewer other programs running.",
        )
    return answer


def _table(path: Path, columns: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    path.write_text(text.getvalue(), encoding="utf-8")
