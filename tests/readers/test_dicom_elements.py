"""The quick walk over a header says what pydicom says, or leaves the header to pydicom."""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset

from medloop.errors import Unreadable
from medloop.readers import _dicom_elements
from medloop.readers._dicom_elements import Elements, Odd, full, quick
from medloop.readers._dicom_header import claims, describe

BUNDLED = Path(str(get_testdata_file("CT_small.dcm", download=False))).parent

pytestmark = pytest.mark.filterwarnings("ignore")  # pydicom warns of many a broken file; what counts is what both say


def _said(elements: Elements) -> str:
    try:
        return json.dumps(describe(elements))
    except Unreadable as error:
        return str(error)


def _agree(paths: list[Path]) -> int:
    """How many headers `quick` reads; each as pydicom does."""
    walked = 0
    for path in paths:
        content = path.read_bytes()
        if not claims(content[:512], path):
            continue
        try:
            ours = quick(content, whole=True)
        except (Odd, IndexError, struct.error):
            continue
        assert _said(ours) == _said(full(io.BytesIO(content))), path
        walked += 1
    return walked


def test_files_that_come_with_pydicom():
    assert _agree([path for path in BUNDLED.rglob("*") if path.is_file()]) > 80


@pytest.mark.shared
def test_development_data(shared_data: Path):
    assert _agree([path for path in (shared_data / "dicom").rglob("*") if path.is_file()]) > 600


def test_a_wrong_walk_would_be_caught(monkeypatch):
    monkeypatch.setattr(_dicom_elements, "_LONG", frozenset({b"OB", b"OW"}))
    monkeypatch.setattr(_dicom_elements, "VRS", dict.fromkeys(_dicom_elements.VRS, "US"))
    with pytest.raises(AssertionError):
        _agree([path for path in BUNDLED.rglob("*small*") if path.is_file()])


_NAMES = ("Modality", "StationName", "PatientID", "SeriesDescription", "ProtocolName")
_TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters="\\"), max_size=20)


@settings(max_examples=60, deadline=None)
@given(
    texts=st.fixed_dictionaries({}, optional=dict.fromkeys(_NAMES, _TEXT)),
    numbers=st.lists(st.floats(-1e4, 1e4, allow_nan=False), min_size=3, max_size=3),
    implicit=st.booleans(), undefined=st.booleans(), nested=st.integers(0, 3),
)  # fmt: skip
def test_headers_of_any_making(texts, numbers, implicit, undefined, nested):
    data = Dataset()
    data.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    for name, text in texts.items():
        setattr(data, name, text)
    data.Rows, data.Columns, data.SamplesPerPixel, data.BitsAllocated, data.BitsStored, data.PixelRepresentation = 4, 4, 1, 8, 8, 0
    data.ImagePositionPatient = [f"{number:.6g}"[:16] for number in numbers]
    inner = Dataset()
    inner.CodeValue = "1"
    for _ in range(nested):
        outer = Dataset()
        outer.ConceptNameCodeSequence = [inner, inner]
        outer["ConceptNameCodeSequence"].is_undefined_length = undefined
        outer.is_undefined_length_sequence_item = undefined
        inner = outer
    data.ProcedureCodeSequence = [inner]
    data["ProcedureCodeSequence"].is_undefined_length = undefined
    data.PixelData = b"\0" * 16
    data["PixelData"].VR = "OW"
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, data, implicit_vr=implicit, little_endian=True, force_encoding=True)
    syntax = b"1.2.840.10008.1.2\0" if implicit else b"1.2.840.10008.1.2.1\0"
    meta = struct.pack("<HH2sH", 2, 0x10, b"UI", len(syntax)) + syntax
    content = b"\0" * 128 + b"DICM" + struct.pack("<HH2sHI", 2, 0, b"UL", 4, len(meta)) + meta + buffer.getvalue()
    ours = quick(content, whole=False)
    assert _said(ours) == _said(full(io.BytesIO(content)))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 700), st.binary(min_size=1, max_size=8))
def test_damage_never_gives_anything_but_an_answer_or_a_refusal(place, junk):
    content = (BUNDLED / "CT_small.dcm").read_bytes()
    damaged = content[: 132 + place] + junk + content[132 + place + len(junk) :]
    try:
        _said(quick(damaged, whole=True))
    except (Odd, IndexError, struct.error):
        return
