"""What a model learnt from, kept and sealed beside it.

The hashes of its pictures, so that it is never judged by them; their kind, so that it is not asked about images of another; and how
they look, in a few numbers a patient, so that others can be compared with them.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from medloop.dataset.appearance import Appearance, as_text, from_text
from medloop.errors import InputError
from medloop.loop._truth import values_of
from medloop.prep import MainKind
from medloop.readers import Channels, channels_of
from medloop.requests import SourceRequest
from medloop.types import Dataset, ImageRef, Integers

LEARNT = "learnt-from.json"
_MOST = 0.5
PATIENTS = 1000
"""The looks of at most so many patients, and of as many images, are kept."""


@dataclass(frozen=True, slots=True)
class Learnt:
    """``pictures``: content hashes. ``volumes``, ``colour``: what the images were. ``modalities``: as far as they were known.
    ``looks``: the appearance of their patients, or of some of them; ``each``: of some of the images one by one. ``channels``,
    ``case_by``: the flags by which several files made one image; ``names``: its channels in order. ``values``: by the name of each
    target of masks what their files held for none of the classes and for each."""

    pictures: frozenset[str] = frozenset()
    volumes: bool | None = None
    colour: bool | None = None
    modalities: tuple[str, ...] = ()
    looks: Appearance | None = None
    each: Appearance | None = None
    channels: str | None = None
    case_by: str | None = None
    names: str | None = None
    values: Mapping[str, Sequence[int]] = field(default_factory=dict)

    def joining(self, channels: str | None, case_by: str | None) -> Channels | None:
        """Which files make the channels of a case: as asked for, in the order learnt, or else as when it was learnt.

        Raises `InputError`.
        """
        learnt = None if self.channels is None else Channels.of(self.channels, case_by or self.case_by)
        asked = learnt if channels is None else Channels.of(channels, case_by)
        return asked if asked is None or learnt is None else asked.in_order_of(learnt)

    def kind(self, refs: Sequence[ImageRef]) -> MainKind:
        """Which images are flat or volumes like those that were learnt from, and why the others are left out."""
        if self.volumes is None:
            return MainKind(tuple(range(len(refs))), ())
        words = ("a volume", "flat pictures") if not self.volumes else ("a flat picture", "volumes")
        reason = f"it is {words[0]}, while the model learnt from {words[1]}"
        wrong = {at: reason for at, ref in enumerate(refs) if ref.volume != self.volumes}
        wrong |= {at: self._other_channels(ref) for at, ref in enumerate(refs) if ref.fact("channels") != self.names}
        return MainKind(tuple(at for at in range(len(refs)) if at not in wrong), tuple(wrong.items()))

    def _other_channels(self, ref: ImageRef) -> str:
        own, learnt = ref.fact("channels"), self.names
        has = f"it has the channels {own}" if own else "it is one file"
        return f"{has}, while the model learnt from {f'the channels {learnt}' if learnt else 'single files'}"

    def doubts(self, refs: Sequence[ImageRef]) -> list[str]:
        """What a reader of answers for these images must know: they differ from those that were learnt from."""
        told = []
        odd = sum(ref.colour != self.colour for ref in refs)
        if self.colour is not None and odd:
            words = ("grey", "colour") if self.colour else ("colour", "grey")
            told.append(f"{odd} images are {words[0]}, while the model learnt from {words[1]} images: it may be wrong about them.")
        strange = Counter(ref.modality for ref in refs if ref.modality is not None and ref.modality not in self.modalities)
        for modality, count in strange.items() if self.modalities else ():
            known = ", ".join(self.modalities)
            told.append(f"{count} images are {modality}, while the model learnt from {known}: it may be wrong about them.")
        return told


def learnt_from(
    dataset: Dataset, rows: Integers, request: SourceRequest, looks: Appearance | None = None, each: Appearance | None = None
) -> Learnt:
    """What the cases ``rows`` are, how their files were put together, and how they look, patient by patient and one by one."""
    refs = [ref for row in rows for ref in dataset.cases[row].images]
    channels, case_by = channels_of(request.src, request.channels, request.case_by)
    return Learnt(
        pictures=frozenset(ref.digest for ref in refs),
        volumes=sum(ref.volume for ref in refs) > _MOST * len(refs),
        colour=sum(ref.colour for ref in refs) > _MOST * len(refs),
        modalities=tuple(sorted({ref.modality for ref in refs if ref.modality is not None})),
        looks=looks,
        each=each,
        channels=channels,
        case_by=case_by,
        names=next((ref.fact("channels") for ref in refs), None),
        values={truth.target.name: told for truth in dataset.further if (told := values_of(truth)) is not None},
    )


def to_bytes(learnt: Learnt) -> bytes:
    """The content of ``learnt-from.json``."""
    content = {
        "pictures": sorted(learnt.pictures),
        "volumes": learnt.volumes,
        "colour": learnt.colour,
        "modalities": list(learnt.modalities),
        "channels": learnt.channels,
        "case_by": learnt.case_by,
        "names": learnt.names,
        "values": {name: list(told) for name, told in learnt.values.items()},
        "looks": [] if learnt.looks is None else as_text(learnt.looks, PATIENTS),
        "each": [] if learnt.each is None else as_text(learnt.each, PATIENTS),
    }
    return json.dumps(content, indent=1).encode()


def read_learnt(folder: Path) -> Learnt:
    """What the model in ``folder``, already loaded and so known to be whole, learnt from. Raises `InputError`."""
    try:
        content = json.loads((folder / LEARNT).read_text(encoding="utf-8"))
        looks, each = from_text(content.get("looks", [])), from_text(content.get("each", []))
        kind = content["volumes"], content["colour"], tuple(content["modalities"])
        joined = {name: content.get(name) for name in ("channels", "case_by", "names")}
        values = {str(name): [int(each) for each in told] for name, told in content.get("values", {}).items()}
        return Learnt(frozenset(content["pictures"]), *kind, looks, each, **joined, values=values)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            "model-damaged",
            got=f"{folder / LEARNT} is missing or damaged: nobody knows which pictures the model has seen.",
            allowed="A model's folder as medloop learn wrote it.",
            fix="Copy the folder again from where it was saved, or learn the model again.",
        ) from error
