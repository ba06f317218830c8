"""One image becomes one case, with what its header, its path and a table's row say of patient, study, site and split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from medloop.labels._words import patient_folder, patient_of, split_of
from medloop.types import Case, ImageRef, Split


@dataclass(frozen=True, slots=True)
class Said:
    """What a table's row says of its images; None where it says nothing."""

    patient: str | None = None
    group: str | None = None
    study: str | None = None
    site: str | None = None
    split: Split | None = None
    attributes: tuple[tuple[str, str], ...] = ()
    prior: str | None = None


def case_of(ref: ImageRef, said: Said | None = None) -> Case:
    """The case of one image. A row goes before the header, the header before the path."""
    said = said or Said()
    site = said.site or ref.fact("institution")
    scanner = " ".join(text for name in ("manufacturer", "model") if (text := ref.fact(name)))
    header = {"sex": ref.fact("sex"), "age_band": ref.fact("age_band"), "site": site, "scanner": scanner}
    attributes = {name: text for name, text in header.items() if text} | dict(said.attributes)
    return Case(
        name=ref.name,
        images=(ref,),
        patient=patient_of(said.patient, counted=True) or patient_of(ref.patient) or patient_folder(_path(ref)),
        group=said.group,
        study=said.study or ref.study,
        site=site,
        given_split=said.split,
        attributes=tuple(sorted(attributes.items())),
        prior=None if said.prior == ref.name else said.prior,
    )


def _path(ref: ImageRef) -> str:
    """Where an image lies; one whose channels are several files has the name of their folder."""
    return f"{ref.name}/" if ref.reader == "channels" else ref.name


def folder_splits(refs: Sequence[ImageRef]) -> list[Split | None]:
    """The split whose folder each image lies in; all None unless at least two splits have folders, one of them training."""
    found = [next((split for part in ref.name.split("/")[:-1] if (split := split_of(part))), None) for ref in refs]
    present = {split for split in found if split}
    return found if len(present) > 1 and Split.TRAIN in present else [None] * len(refs)
