"""What every request begins with: where images, labels and records lie, and how flags are written."""

from __future__ import annotations

import re
from dataclasses import dataclass

from medloop.errors import InputError

SEEDS = (0, 2**32 - 1)
WORKERS = (0, 1024)
"""Lowest and highest number of processes; 0 means to work in this one."""


def in_range(flag: str, value: int | None, limits: tuple[int, int]) -> None:
    """Raises `InputError` for a number out of the limits."""
    low, high = limits
    if value is not None and not low <= value <= high:
        raise InputError(
            f"bad-{flag}",
            got=f"--{flag} {value}.",
            allowed=f"A whole number from {low} to {high}.",
            fix=f"Write another number, or leave --{flag} out.",
        )


@dataclass(frozen=True, kw_only=True)
class SourceRequest:
    """What images and labels to read, and how."""

    src: str
    """A folder, a file, or an .npz in MedMNIST layout."""
    labels: str | None = None
    """A table (CSV, TSV, XLSX), COCO JSON, folder of VOC files, dataset.json; several with commas. Left out: what is found."""
    images: str | None = None
    """Which files are images, as a glob such as '*.bmp', where others lie beside them."""
    masks: str | None = None
    """Which files are masks of the images, as a glob such as '*.png' or 'masks/*.nii.gz'; matched to images by name or folder."""
    mask_classes: str | None = None
    """What the masks' values mean: 128=cytoplasm,255=nucleus; #ff0000=tumour; a table of value and name (default: each its own)."""
    channels: str | None = None
    """Which files of a case are its channels, in order, as name=glob: flair='*FLAIR*',t1='*T1_*' (default: each file is a case)."""
    case_by: str | None = None
    """What the files of one case share: parent (their folder, the default), or an expression with a group such as '(sub-\\d+)_'."""
    id_column: str | None = None
    """The table's column that names the image (recognised if left out)."""
    label_columns: str | None = None
    """The table's label columns, separated by commas (recognised if left out)."""
    group: str | None = None
    """The table's column of what must stay together: patient, lesion or study (recognised if left out)."""
    split_lists: str | None = None
    """Text files that list the cases of each split, separated by commas; their names say which (train.txt,val.txt,test.txt)."""
    seed: int = 0
    """Seed of everything random."""
    workers: int | None = None
    """Processes for heavy work (default: one a core)."""

    def __post_init__(self) -> None:
        """Raises `InputError` for numbers that make no sense."""
        in_range("seed", self.seed, SEEDS)
        in_range("workers", self.workers, WORKERS)


@dataclass(frozen=True, kw_only=True)
class StoreRequest:
    """Where the records of the loop are kept."""

    database: str | None = None
    """The database (postgresql+psycopg://…; default: MEDLOOP_DATABASE, or loop.sqlite in the workspace)."""
    blobs: str | None = None
    """Where images are kept: a folder or an fsspec URL (default: MEDLOOP_BLOBS, or blobs in the workspace)."""


_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0}


def seconds_of(budget: str) -> float:
    """Seconds of a wall time such as ``90``, ``90s``, ``10m``, ``1h30m``. Raises `InputError` for anything else."""
    text = budget.strip().lower()
    if re.fullmatch(r"\d+(\.\d+)?", text) and float(text) > 0:
        return float(text)
    parts = re.findall(r"(\d+(?:\.\d+)?)([hms])", text)
    total = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if not parts or "".join(number + unit for number, unit in parts) != text or total <= 0:
        raise InputError(
            "bad-budget", got=f"'{budget}' is not a length of time.", allowed="90, 90s, 10m, 1h30m.", fix="Write --budget 10m."
        )
    return total


def listed(text: str | None) -> tuple[str, ...]:
    """The parts of a comma-separated flag, without blanks."""
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())
