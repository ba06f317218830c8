"""Words that tables and folders use: splits, missing values, roles of columns, names of patients' folders."""

from __future__ import annotations

import re
from collections.abc import Iterable

from medloop.types import Split

MISSING = frozenset({"", "nan", "na", "n/a", "#n/a", "#na", "null", "<na>", "nat", "-", "--", "?", ".", "missing"})
"""Cells that say nothing (compared in small letters)."""
_SPLITS = {
    Split.TRAIN: ("train", "training", "trn", "tr", "train_set", "training_set"),
    Split.VAL: ("val", "valid", "validation", "validate", "dev", "tune", "tuning", "val_set", "validation_set"),
    Split.TEST: ("test", "testing", "tst", "ts", "holdout", "held_out", "test_set", "testing_set"),
}
_SPLIT_OF = {word: split for split, words in _SPLITS.items() for word in words}
ROLES: dict[str, tuple[str, ...]] = {
    "patient": ("patient", "patient_id", "patientid", "patient_number", "patient_no", "pat_id", "pid", "subject", "subject_id",
                "participant", "participant_id", "person", "person_id"),
    "group": ("lesion", "lesion_id", "group", "group_id", "nodule_id"),
    "study": ("study", "study_id", "study_uid", "study_instance_uid", "accession", "accession_number", "exam", "exam_id",
              "visit_id"),
    "prior": ("prior", "prior_id", "prior_image", "prior_study", "prior_scan", "prior_exam", "previous", "previous_image",
              "previous_study", "previous_scan", "previous_exam"),
    "split": ("split", "set", "subset", "partition", "dataset", "fold", "phase", "usage"),
    "site": ("site", "hospital", "centre", "center", "institution", "clinic", "site_id"),
    "scanner": ("scanner", "manufacturer", "vendor", "device"),
    "sex": ("sex", "gender", "patient_sex", "patient_gender", "male", "female", "is_male", "is_female"),
    "age": ("age", "age_years", "patient_age", "age_approx", "age_at_scan", "age_at_study"),
}  # fmt: skip
"""Column names (as `medloop.labels._columns.plain` writes them) and what they are read as."""
IDS = ("image", "image_id", "image_index", "image_name", "image_path", "img", "img_id", "id", "file", "filename", "file_name",
       "file_path", "filepath", "path", "name", "series", "series_uid", "series_instance_uid", "sop_instance_uid", "case",
       "case_id", "scan", "scan_id", "study", "study_id")  # fmt: skip
"""Column names that usually name the image, the likeliest first."""
LABELS = ("label", "labels", "class", "class_label", "classes", "diagnosis", "dx", "target", "finding", "findings",
          "finding_labels", "ground_truth", "category", "y", "pathology", "outcome", "disease", "grade", "severity", "abnormality",
          "class_name", "class_id", "label_id", "diagnosis_name", "level")  # fmt: skip
"""Column names that usually hold the label, the likeliest first."""
NOTHING = ("no finding", "no findings", "no_finding", "none", "normal", "nothing")
"""Members of a list that mean: no finding."""
_NEGATIVE = ("0", "none", "nothing", "neg", "absent", "control", "controls", "false")
_NEGATIVE_START = re.compile(r"(no|non|not|without|negative|normal|healthy|benign)([ _-].*)?")
_PATIENT_FOLDER = re.compile(r"(patient|pat|subject|subj|sub|person|pid)[-_ ]?[a-z]{0,3}\d+", re.IGNORECASE)
PLACEHOLDERS = MISSING | {"anonymous", "anon", "anonymized", "anonymised", "unknown", "none", "xxx", "no id", "deidentified"}
"""Patient IDs that name nobody (in small letters)."""


def split_of(word: str) -> Split | None:
    """The split that a word, folder or file name means."""
    return _SPLIT_OF.get(re.sub(r"[^a-z]+", "_", word.lower()).strip("_"))


def split_in(name: str) -> Split | None:
    """The split whose word is a part of a file name such as ``my_train.txt``."""
    whole = split_of(name)
    parts = [split for part in re.split(r"[^A-Za-z]+", name) if (split := split_of(part))]
    return whole or (parts[0] if len(set(parts)) == 1 else None)


def patient_of(text: str | None, *, counted: bool = False) -> str | None:
    """A patient ID, or None for an empty one or a placeholder that names nobody.

    In a header zeros alone name nobody; where patients may have been ``counted``, as in a table, 0 is the first of them.
    """
    plain = (text or "").strip()
    nobody = plain.lower() in PLACEHOLDERS or not plain.strip("-_. " if counted else "0-_. ")
    return None if nobody else plain


def patient_folder(name: str) -> str | None:
    """The folder in an image's path that is named like a patient (``patient_012``, ``sub-03``), or None."""
    return next((part for part in name.split("/")[:-1] if _PATIENT_FOLDER.fullmatch(part)), None)


def ordered(classes: Iterable[str]) -> tuple[str, ...]:
    """Classes in order: numbers by size, else by alphabet; of two, the one that means 'nothing found' first, the positive one
    second.
    """
    names = sorted(classes, key=lambda name: (not _is_whole(name), int(name) if _is_whole(name) else 0, name.casefold()))
    if len(names) == 2 and _negative(names[1]) and not _negative(names[0]):
        names.reverse()
    return tuple(names)


def _is_whole(name: str) -> bool:
    return re.fullmatch(r"-?\d{1,15}", name) is not None


def _negative(name: str) -> bool:
    text = name.casefold()
    return text in _NEGATIVE or _NEGATIVE_START.fullmatch(text) is not None
