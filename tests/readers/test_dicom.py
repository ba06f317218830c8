"""Pixels, geometry and facts of DICOM files; what is no image is rejected for a reason of its own."""

from __future__ import annotations

import struct
import warnings
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    JPEG2000Lossless,
    MRImageStorage,
    RLELossless,
    SegmentationStorage,
    UltrasoundMultiFrameImageStorage,
)

from medloop import readers
from medloop.errors import InputError, Unreadable
from medloop.readers import _mosaic
from medloop.types import ImageRef

BUNDLED = Path(str(get_testdata_file("CT_small.dcm", download=False))).parent
BROKEN = {"JPGExtended.dcm", "MR_truncated.dcm", "JPEG2000-embedded-sequence-delimiter.dcm", "JPEG-lossy.dcm"}
"""Files of pydicom that are cut off, or in 12-bit JPEG Extended, which no permitted decoder reads."""
NOISE = np.random.default_rng(3).integers(-900, 900, (48, 64)).astype(np.int16)


def _one(found):
    (ref,) = found.refs
    image = readers.read(ref)
    assert image.pixels.shape == ref.shape
    assert image.pixels.dtype == ref.dtype
    assert image.spacing_mm == ref.spacing_mm
    return ref, image


@pytest.mark.parametrize(
    "syntax",
    [RLELossless, JPEG2000Lossless, pydicom.uid.DeflatedExplicitVRLittleEndian, pydicom.uid.ImplicitVRLittleEndian],
)
def test_lossless_syntaxes_keep_every_voxel(tmp_path: Path, write_dicom, gather, syntax):
    write_dicom(tmp_path / "a.dcm", NOISE, syntax)
    _, image = _one(gather(tmp_path))
    assert np.array_equal(image.pixels[0, 0, 0], NOISE)


def test_whole_rescale_gives_exact_int16_hounsfield_units(tmp_path: Path, write_dicom, gather):
    stored = (NOISE + 1024).astype(np.uint16)
    write_dicom(
        tmp_path / "a.dcm",
        stored,
        BitsStored=12,
        RescaleSlope=1,
        RescaleIntercept=-1024,
        WindowCenter=[40, 300],
        WindowWidth=[400, 1500],
    )
    ref, image = _one(gather(tmp_path))
    assert ref.dtype == "int16"
    assert np.array_equal(image.pixels[0, 0, 0], NOISE)
    assert (image.window, image.modality) == ((40.0, 400.0), "CT")


def test_other_rescale_gives_float32(tmp_path: Path, write_dicom, gather):
    write_dicom(tmp_path / "a.dcm", NOISE, RescaleSlope=0.25, RescaleIntercept=3)
    _, image = _one(gather(tmp_path))
    assert image.pixels.dtype == np.float32
    assert np.array_equal(image.pixels[0, 0, 0], NOISE * np.float32(0.25) + 3)


def test_slices_of_different_slopes_share_one_unit(tmp_path: Path, write_dicom, gather):
    for n in range(3):
        write_dicom(
            tmp_path / f"{n}.dcm", NOISE, InstanceNumber=n, ImagePositionPatient=[0, 0, n], RescaleSlope=n + 0.5, RescaleIntercept=0
        )
    _, image = _one(gather(tmp_path))
    assert np.array_equal(image.pixels[0, 0], np.stack([NOISE * np.float32(n + 0.5) for n in range(3)]))


def test_monochrome1_is_shown_right_way_up(tmp_path: Path, write_dicom, gather):
    stored = np.array([[0, 1], [1000, 4095]], np.uint16)
    how = {"PhotometricInterpretation": "MONOCHROME1", "BitsStored": 12, "WindowCenter": 1000, "WindowWidth": 500}
    write_dicom(tmp_path / "a.dcm", stored, **how)
    _, image = _one(gather(tmp_path))
    assert np.array_equal(image.pixels[0, 0, 0], 4095 - stored)
    assert image.window == (3095.0, 500.0)


def test_monochrome1_signed_with_rescale(tmp_path: Path, write_dicom, gather):
    how = {"PhotometricInterpretation": "MONOCHROME1", "RescaleSlope": 1, "RescaleIntercept": 10, "BitsStored": 12}
    write_dicom(tmp_path / "a.dcm", NOISE, **how)
    _, image = _one(gather(tmp_path))
    assert np.array_equal(image.pixels[0, 0, 0].astype(int), -1 - NOISE.astype(int) + 10)


def test_a_cine_loop_runs_in_time(tmp_path: Path, write_dicom, gather):
    frames = np.arange(5 * 4 * 6, dtype=np.uint8).reshape(5, 4, 6)
    how = {"NumberOfFrames": 5, "Rows": 4, "Columns": 6, "Modality": "US", "FrameTime": 33, "FrameIncrementPointer": 0x00181063}
    place = {"ImagePositionPatient": None, "ImageOrientationPatient": None, "SOPClassUID": UltrasoundMultiFrameImageStorage}
    write_dicom(tmp_path / "cine.dcm", frames, **how, **place)
    ref, image = _one(gather(tmp_path))
    assert (ref.name, ref.shape) == ("cine.dcm", (5, 1, 1, 4, 6))
    assert np.array_equal(image.pixels[:, 0, 0], frames)


def _enhanced(frames: list[tuple[float, float, int]]) -> Sequence:
    groups = []
    for z, echo, time in frames:
        frame = Dataset()
        frame.PlanePositionSequence = [Dataset()]
        frame.PlanePositionSequence[0].ImagePositionPatient = [1, 2, z]
        frame.FrameContentSequence = [Dataset()]
        frame.FrameContentSequence[0].TemporalPositionIndex = time
        frame.MREchoSequence = [Dataset()]
        frame.MREchoSequence[0].EffectiveEchoTime = echo
        groups.append(frame)
    return Sequence(groups)


def test_an_enhanced_file_is_sorted_and_split_by_its_frames(tmp_path: Path, write_dicom, gather):
    order = [(4.0, 10.0, 2), (0.0, 10.0, 1), (0.0, 10.0, 2), (4.0, 10.0, 1), (0.0, 30.0, 1), (4.0, 30.0, 1)]
    pixels = np.stack([np.full((3, 4), n, np.int16) for n in range(6)])
    pixels[:, 0, 0] += 50
    shared = Dataset()
    shared.PlaneOrientationSequence = [Dataset()]
    shared.PlaneOrientationSequence[0].ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    shared.PixelMeasuresSequence = [Dataset()]
    shared.PixelMeasuresSequence[0].PixelSpacing = [0.5, 0.5]
    how = {
        "NumberOfFrames": 6,
        "Rows": 3,
        "Columns": 4,
        "SharedFunctionalGroupsSequence": [shared],
        "PerFrameFunctionalGroupsSequence": _enhanced(order),
    }
    write_dicom(tmp_path / "e.dcm", pixels, ImagePositionPatient=None, ImageOrientationPatient=None, PixelSpacing=None, **how)
    found = gather(tmp_path)
    assert [(ref.shape, ref.item) for ref in found.refs] == [((2, 1, 2, 3, 4), "frames:1,3,2,0"), ((1, 1, 2, 3, 4), "frames:4-5")]
    first = readers.read(found.refs[0])
    assert first.pixels[:, 0, :, 1, 1].tolist() == [[1, 3], [2, 0]]
    assert np.allclose(first.affine_lps, [[0.5, 0, 0, 1], [0, 0.5, 0, 2], [0, 0, 4, 0], [0, 0, 0, 1]])
    assert "echo time 30" in (found.refs[1].fact("told_apart") or "")
    assert len({readers.digest(ref) for ref in found.refs}) == 2


def _csa(entries: dict[str, list[str]]) -> bytes:
    body = b"SV10\4\3\2\1" + struct.pack("<2I", len(entries), 77)
    for name, texts in entries.items():
        body += struct.pack("<64si4s3i", name.encode(), 1, b"IS\0\0", 6, len(texts), 77)
        for text in texts:
            raw = text.encode() + b"\0"
            body += struct.pack("<4i", len(raw), len(raw), 77, len(raw)) + raw + b"\0" * (-len(raw) % 4)
    return body


@pytest.mark.parametrize("how", ["private element", "CSA header"])
def test_a_mosaic_is_cut_into_slices(tmp_path: Path, write_dicom, gather, how):
    volume = np.arange(5 * 4 * 6, dtype=np.uint16).reshape(5, 4, 6)
    sheet = np.zeros((12, 18), np.uint16)
    for n, tile in enumerate(volume):
        sheet[n // 3 * 4 : n // 3 * 4 + 4, n % 3 * 6 : n % 3 * 6 + 6] = tile
    path = write_dicom(
        tmp_path / "m.dcm", sheet, ImageType=["ORIGINAL", "PRIMARY", "M", "MOSAIC"], Modality="MR", SOPClassUID=MRImageStorage,
        ImagePositionPatient=[-10, -20, 5], PixelSpacing=[2, 3], SpacingBetweenSlices=4,
    )  # fmt: skip
    data = pydicom.dcmread(path)
    if how == "CSA header":
        block = data.private_block(0x0029, "SIEMENS CSA HEADER", create=True)
        block.add_new(
            0x10, "OB", _csa({"Other": ["x"], "NumberOfImagesInMosaic": ["5"], "SliceNormalVector": ["0.0", "0.0", "-1.0"]})
        )
    else:
        data.private_block(0x0019, "SIEMENS MR HEADER", create=True).add_new(0x0A, "US", 5)
    data.save_as(path)
    ref, image = _one(gather(tmp_path))
    assert np.array_equal(image.pixels[0, 0], volume)
    assert ref.spacing_mm == (4.0, 2.0, 3.0)
    down = -4.0 if how == "CSA header" else 4.0
    assert np.allclose(image.affine_lps, [[3, 0, 0, -10 + 6 * 3], [0, 2, 0, -20 + 4 * 2], [0, 0, down, 5], [0, 0, 0, 1]])


def test_a_csa_header_that_is_cut_off_says_nothing():
    with pytest.raises(struct.error):
        _mosaic.csa_values(_csa({"NumberOfImagesInMosaic": ["5"]})[:60], frozenset({"NumberOfImagesInMosaic"}))


def test_a_mosaic_of_unknown_size_is_told(tmp_path: Path, write_dicom, gather):
    write_dicom(tmp_path / "m.dcm", NOISE, ImageType=["ORIGINAL", "PRIMARY", "M", "MOSAIC"])
    found = gather(tmp_path)
    assert "does not say how many slices" in found.warnings[0]
    assert found.refs[0].shape == (1, 1, 1, 48, 64)


def test_pictures_without_position_are_images_of_their_own(tmp_path: Path, write_dicom, gather):
    nowhere = {"ImagePositionPatient": None, "ImageOrientationPatient": None, "PixelSpacing": None, "Modality": "DX"}
    for n in range(3):
        write_dicom(
            tmp_path / f"{n}.dcm", NOISE, InstanceNumber=n, ImagerPixelSpacing=[0.1, 0.2], SliceThickness=None, **{**nowhere}
        )
    found = gather(tmp_path)
    assert [(ref.name, ref.shape[2], ref.spacing_mm) for ref in found.refs] == [(f"{n}.dcm", 1, (1.0, 0.1, 0.2)) for n in range(3)]
    assert readers.read(found.refs[0]).affine_lps is None


def test_slice_locations_sort_but_give_no_affine(tmp_path: Path, write_dicom, gather):
    for n, z in enumerate((6, 0, 3)):
        write_dicom(
            tmp_path / f"{n}.dcm",
            NOISE + n,
            InstanceNumber=n,
            ImagePositionPatient=None,
            ImageOrientationPatient=None,
            SliceLocation=z,
        )
    ref, image = _one(gather(tmp_path))
    assert (ref.spacing_mm, image.affine_lps) == ((3.0, 0.5, 0.75), None)
    assert (image.pixels[0, 0, :, 0, 0] - NOISE[0, 0]).tolist() == [1, 2, 0]


def test_without_uids_folder_and_number_make_the_series(tmp_path: Path, write_dicom, gather):
    for n in range(3):
        write_dicom(
            tmp_path / "s" / f"{n}.dcm", NOISE, InstanceNumber=n, ImagePositionPatient=[0, 0, n], SOPInstanceUID=None,
            SeriesInstanceUID=None, StudyInstanceUID=None, PatientID=None,
        )  # fmt: skip
    ref, _ = _one(gather(tmp_path))
    assert (ref.name, ref.shape[2], ref.patient, ref.study, ref.series) == ("s#series-7", 3, None, None, None)


@pytest.mark.parametrize(
    ("charset", "name"),
    [
        ("ISO_IR 100", "Röntgen Süd"),
        ("ISO_IR 192", "放射線科"),
        (["", "ISO 2022 IR 87"], "病院"),
        ("GB18030", "放射科\\二"),
        ("ISO_IR 144", "Отделение"),
    ],
)
def test_odd_character_sets(tmp_path: Path, write_dicom, gather, charset, name):
    write_dicom(tmp_path / "a.dcm", NOISE, SpecificCharacterSet=charset, InstitutionName=name.split("\\")[0])
    assert gather(tmp_path).refs[0].fact("institution") == name.split("\\")[0]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_an_unknown_character_set_is_no_reason_to_lose_the_picture(tmp_path: Path, write_dicom, gather):
    path = write_dicom(tmp_path / "a.dcm", NOISE, InstitutionName="Nord")
    path.write_bytes(path.read_bytes().replace(b"Nord", b"N\xf6rd"))
    data = pydicom.dcmread(path)
    data.SpecificCharacterSet = "NONSENSE 9"
    data.save_as(path)
    assert np.array_equal(_one(gather(tmp_path))[1].pixels[0, 0, 0], NOISE)


def test_a_file_without_preamble_and_extension_is_found(tmp_path: Path, write_dicom, gather):
    path = write_dicom(tmp_path / "IM0001", NOISE, pydicom.uid.ImplicitVRLittleEndian)
    data = pydicom.dcmread(path)
    bare = tmp_path / "bare"
    naked = Dataset()
    naked.update(data)
    pydicom.dcmwrite(bare, naked, implicit_vr=True, little_endian=True)
    path.unlink()
    assert bare.read_bytes()[128:132] != b"DICM"
    ref, image = _one(gather(tmp_path))
    assert ref.name == "bare"
    assert np.array_equal(image.pixels[0, 0, 0], NOISE)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"SOPClassUID": SegmentationStorage}, "a segmentation (SEG): a mask of another series, not an image"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.33"}, "a structured report (SR), not an image"),
        (
            {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.67"},
            "a real-world value mapping (RWVM): units for another series, not an image",
        ),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.104.1"}, "a PDF document inside DICOM, not an image"),
        ({"SOPClassUID": "1.2.840.10008.1.3.10"}, "a DICOMDIR: an index of other files, not an image"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.11.1"}, "a presentation state: display settings for other images, not an image"),
        ({"Rows": None}, "a DICOM file without pixels"),
    ],
)
def test_what_is_no_image_is_rejected_for_its_own_reason(tmp_path: Path, write_dicom, gather, accounted, changes, reason):
    write_dicom(tmp_path / "a.dcm", NOISE)
    write_dicom(tmp_path / "b.dcm", NOISE, **changes)
    found = gather(tmp_path)
    accounted(found)
    assert [(each.path, each.reason) for each in found.rejected] == [("b.dcm", reason)]


def test_a_dicomdir_is_told_from_its_meta_group(tmp_path: Path, write_dicom, gather):
    write_dicom(tmp_path / "a.dcm", NOISE)
    (tmp_path / "DICOMDIR").write_bytes((BUNDLED / "dicomdirtests" / "DICOMDIR").read_bytes())
    assert [each.reason for each in gather(tmp_path).rejected] == ["a DICOMDIR: an index of other files, not an image"]


def test_a_header_without_pixels(tmp_path: Path, write_dicom, gather):
    path = write_dicom(tmp_path / "a.dcm", NOISE)
    data = pydicom.dcmread(path)
    del data.PixelData
    data.save_as(path)
    with pytest.raises(InputError, match="a DICOM file without pixels"):
        gather(tmp_path)


def test_a_text_file_named_dcm(tmp_path: Path, write_dicom, gather):
    write_dicom(tmp_path / "a.dcm", NOISE)
    (tmp_path / "b.dcm").write_text("this is a note, not a picture\n")
    assert [each.reason for each in gather(tmp_path).rejected] == ["named like DICOM, but it is a text file"]


def test_a_truncated_file_says_which_slice_is_broken(tmp_path: Path, write_dicom, gather):
    for n in range(3):
        path = write_dicom(tmp_path / f"slice{n}.dcm", NOISE, InstanceNumber=n, ImagePositionPatient=[0, 0, n])
    path.write_bytes(path.read_bytes()[:-40])
    (ref,) = gather(tmp_path).refs
    with pytest.raises(Unreadable, match=r"slice2\.dcm"):
        readers.read(ref)


def test_no_patient_identity_in_what_is_told(tmp_path: Path, write_dicom, gather):
    for n, z in enumerate((0, 1, 2, 7, 8, 8)):
        write_dicom(
            tmp_path / f"{n}.dcm", NOISE, InstanceNumber=n, ImagePositionPatient=[0, 0, z], PatientID="SECRET-ID",
            PatientName="Secret^Name", PatientBirthDate="19561112", StudyDate="20200101",
        )  # fmt: skip
    found = gather(tmp_path)
    told = repr((found.series, found.warnings, found.rejected, [ref.facts for ref in found.refs], [ref.name for ref in found.refs]))
    assert found.warnings
    for secret in ("SECRET", "Secret", "19561112"):
        assert secret not in told
    assert found.refs[0].fact("age_years") == "63"


@pytest.mark.parametrize(
    ("name", "shape", "dtype"),
    [
        ("examples_palette.dcm", (1, 3, 1, 350, 800), "uint8"),
        ("examples_ybr_color.dcm", (30, 3, 1, 240, 320), "uint8"),
        ("examples_jpeg2k.dcm", (1, 3, 1, 480, 640), "uint8"),
        ("SC_rgb_rle_32bit.dcm", (1, 3, 1, 100, 100), "uint32"),
        ("SC_rgb_rle_16bit_2frame.dcm", (2, 3, 1, 100, 100), "uint16"),
        ("CT_small.dcm", (1, 1, 1, 128, 128), "int16"),
        ("MR_small_jpeg_ls_lossless.dcm", (1, 1, 1, 64, 64), "int16"),
        ("MR_small_bigendian.dcm", (1, 1, 1, 64, 64), "int16"),
    ],
)
def test_files_that_come_with_pydicom(gather, name, shape, dtype):
    ref, image = _one(gather(BUNDLED / name))
    assert (ref.shape, ref.dtype) == (shape, dtype)
    assert len(np.unique(image.pixels)) > 1


def test_every_file_that_comes_with_pydicom_is_used_or_rejected(gather, accounted):
    found = gather(BUNDLED)
    accounted(found)
    broken = {}
    for ref, image in zip(found.refs, readers.read_many(found.refs), strict=True):
        if isinstance(image, Unreadable):
            broken[ref.name] = str(image)
        else:
            assert (image.pixels.shape, image.pixels.dtype.name, image.spacing_mm) == (ref.shape, ref.dtype, ref.spacing_mm)
    assert set(broken) <= BROKEN, broken


@pytest.mark.shared
def test_series_agree_with_the_conversions_of_dcm2niix(shared_data: Path, gather, accounted):
    source = shared_data / "dicom" / "dcm_qa_nih"
    found = gather(source / "In")
    accounted(found)
    assert len(found.refs) == len(list((source / "Ref").glob("*.nii"))) == 8
    for ref in found.refs:
        _agrees(readers.read(ref), source / "Ref", ref.name)


@pytest.mark.shared
def test_a_disagreement_with_dcm2niix_would_be_caught(shared_data: Path, gather, monkeypatch):
    source = shared_data / "dicom" / "dcm_qa_nih"
    monkeypatch.setattr(_mosaic, "corner", lambda position, *_: position)
    ref = gather(source / "In" / "20180918Si" / "mr_0003").refs[0]
    with pytest.raises(AssertionError):
        _agrees(readers.read(ref), source / "Ref", "20180918Si/x#series-3")


def _agrees(image, folder: Path, name: str) -> None:
    start = "DCM2NIIX" if "GE" in name else "EPI"
    theirs = nibabel.as_closest_canonical(nibabel.load(next(folder.glob(f"{start}*_{name[-1]}.nii"))))
    ras = np.diag([-1.0, -1.0, 1.0, 1.0]) @ image.affine_lps
    ours = nibabel.as_closest_canonical(nibabel.Nifti1Image(image.pixels[:, 0].transpose(3, 2, 1, 0), ras))
    assert np.array_equal(np.asarray(ours.dataobj), np.asarray(theirs.dataobj))
    assert np.allclose(ours.affine, theirs.affine, atol=1e-3)


@pytest.mark.shared
@pytest.mark.parametrize("folder", ["pydicom_data", "dcmqi"])
def test_every_file_is_used_or_rejected_and_every_image_reads_or_says_why(shared_data: Path, gather, accounted, folder):
    found = gather(shared_data / "dicom" / folder)
    accounted(found)
    broken = []
    for ref, image in zip(found.refs, readers.read_many(found.refs), strict=True):
        if isinstance(image, Unreadable):
            broken.append(ref.name)
        else:
            assert (image.pixels.shape, image.pixels.dtype.name, image.spacing_mm) == (ref.shape, ref.dtype, ref.spacing_mm)
    assert broken in ([], ["JLSL_08_07_0_1F.dcm"])


def test_when_a_study_was_taken(tmp_path, write_dicom, gather):
    for number, (date, time) in enumerate([("20210104", "0912"), ("20210104", None), ("about May", "0912"), (None, None)]):
        said = {
            "StudyDate": date,
            "StudyTime": time,
            "SeriesInstanceUID": f"1.2.{number + 1}",
            "StudyInstanceUID": f"1.{number + 1}",
        }
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom tells of a date that is none
            write_dicom(tmp_path / f"{number}.dcm", **said)
            found = readers.taken(gather(tmp_path / f"{number}.dcm").refs[0])
        assert found == ["202101040912", "20210104", "", ""][number]


def test_formats_without_dates_were_taken_at_no_time(tmp_path):
    assert readers.taken(ImageRef("a.png", "raster", (str(tmp_path / "a.png"),))) == ""
