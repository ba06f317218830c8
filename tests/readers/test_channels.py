"""Several files as the channels of one image: which belong together, on which grid, and what cannot be joined."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import PIL.Image as pil
import pytest

from medloop import prep, readers
from medloop.compute import Compute
from medloop.errors import InputError, Unreadable
from medloop.prep import crop
from medloop.readers import Channels, channels, nifti
from medloop.types import Image

BOTH = Channels((("flair", "*flair*"), ("t1", "*t1*")))
PLAIN = np.diag([-1.0, -1.0, 2.0, 1.0])


def joined(collection: readers.Collection, asked: Channels, **how: Any) -> readers.Collection:
    """`readers.join` in this process."""
    with Compute(workers=0) as compute:
        return readers.join(collection, asked, compute=compute, **how)


def ramp(affine: np.ndarray, size: tuple[int, int, int]) -> np.ndarray:
    """Voxels ``(x, y, z)`` whose value is a linear function of where they lie, so that interpolation is exact."""
    index = np.stack([*np.meshgrid(*map(np.arange, size), indexing="ij"), np.ones(size)], axis=-1)
    return (index @ affine.T)[..., :3] @ np.array([3.0, -2.0, 0.5])


def write(path: Path, affine: np.ndarray = PLAIN, size: tuple[int, int, int] = (9, 8, 7), kind: type = np.float32) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(ramp(affine, size).astype(kind), affine), path)
    return path


def placed(start: tuple[float, float, float], steps: tuple[float, float, float] = (-1.0, -1.0, 2.0)) -> np.ndarray:
    affine = np.diag([*steps, 1.0])
    affine[:3, 3] = start
    return affine


def test_files_of_one_folder_are_channels_in_the_order_named(tmp_path, gather, accounted) -> None:
    for case in ("b/1", "a/2"):
        write(tmp_path / case / "t1.nii.gz")
        write(tmp_path / case / "FLAIR_x.nii.gz", kind=np.int16)
        write(tmp_path / case / "other.nii.gz")
    found = joined(gather(tmp_path), BOTH)
    accounted(found)
    assert [ref.name for ref in found.refs] == ["a/2", "b/1"]
    ref = found.refs[0]
    assert [Path(path).name for path in ref.files] == ["FLAIR_x.nii.gz", "t1.nii.gz"]
    assert ref.shape == (1, 2, 7, 8, 9)
    assert ref.fact("channels") == "flair, t1"
    assert ref.fact("resampled") is None
    image = readers.read(ref)
    for at, name in enumerate(("FLAIR_x", "t1")):
        alone = nibabel.load(tmp_path / f"a/2/{name}.nii.gz").get_fdata()
        np.testing.assert_allclose(image.pixels[0, at], alone.transpose(2, 1, 0), atol=1e-4)
    assert {each.path for each in found.rejected} == {"a/2/other.nii.gz", "b/1/other.nii.gz"}
    assert found.notes == ()


@pytest.mark.parametrize(
    ("affine", "size"),
    [
        (placed((1, 2, -3)), (11, 12, 12)),
        (placed((3, 2, -4), (-0.5, -0.5, 1.5)), (26, 24, 14)),
        (placed((2, -9, 14), (-1.0, 1.0, -2.0)), (12, 14, 11)),
    ],
)
def test_other_grids_are_resampled_to_the_first_and_told(tmp_path, gather, affine, size) -> None:
    write(tmp_path / "p/flair.nii.gz")
    write(tmp_path / "p/t1.nii.gz", affine, size)
    found = joined(gather(tmp_path), BOTH)
    assert found.refs[0].fact("resampled") == "t1"
    assert found.notes == ("1 of 1 cases: t1 resampled to the grid of flair (linear interpolation).",)
    image = readers.read(found.refs[0])
    np.testing.assert_allclose(image.affine_lps, readers.affine(found.refs[0]))
    np.testing.assert_allclose(image.pixels[0, 1], image.pixels[0, 0], atol=1e-3)


def test_channels_laid_upon_each_other_by_index_would_be_caught(tmp_path, gather, monkeypatch) -> None:
    monkeypatch.setattr(channels, "_on_grid", lambda image, first: image.pixels)
    write(tmp_path / "p/flair.nii.gz")
    write(tmp_path / "p/t1.nii.gz", placed((-1, 0, 0)))
    image = readers.read(joined(gather(tmp_path), BOTH).refs[0])
    assert not np.allclose(image.pixels[0, 1], image.pixels[0, 0], atol=1e-3)


def test_a_larger_voxel_is_the_mean_of_small_ones(tmp_path, gather) -> None:
    write(tmp_path / "p/flair.nii.gz", placed((0, 0, 0), (-4.0, -4.0, 4.0)), (8, 8, 8))
    path = write(tmp_path / "p/t1.nii.gz", placed((0, 0, 0), (-1.0, -1.0, 1.0)), (29, 29, 29))
    volume = nibabel.load(path)
    checks = (np.indices((29, 29, 29)).sum(axis=0) % 2 * 100).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(checks, volume.affine), path)
    pixels = readers.read(joined(gather(tmp_path), BOTH).refs[0]).pixels
    np.testing.assert_allclose(pixels[0, 1, 1:-1, 1:-1, 1:-1], 50, atol=5)


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (None, "it has no t1, none of its files fits"),
        ({"affine": placed((500, 0, 0))}, "another part of the body"),
        ({"affine": placed((0, 0, 0)), "size": (9, 8, 7), "twice": True}, "2 of its files fit t1='*t1*': t1.nii.gz, t1b.nii.gz"),
        ({"times": 3}, "3 time points"),
    ],
)
def test_a_case_that_cannot_be_joined_is_rejected_with_its_files(tmp_path, gather, accounted, other, reason) -> None:
    write(tmp_path / "good/flair.nii.gz")
    write(tmp_path / "good/t1.nii.gz")
    write(tmp_path / "bad/flair.nii.gz")
    if other is not None:
        how = dict(other)
        twice, times = how.pop("twice", False), how.pop("times", 1)
        write(tmp_path / "bad/t1.nii.gz", **how)
        if twice:
            write(tmp_path / "bad/t1b.nii.gz")
        if times > 1:
            nibabel.save(nibabel.Nifti1Image(np.arange(24.0).reshape(2, 2, 2, 3), PLAIN), tmp_path / "bad/t1.nii.gz")
    found = joined(gather(tmp_path), BOTH)
    accounted(found)
    assert [ref.name for ref in found.refs] == ["good"]
    assert {each.path.split("/")[0] for each in found.rejected} == {"bad"}
    assert all(reason in each.reason for each in found.rejected)


def test_pictures_without_place_must_be_of_one_size_and_grey(tmp_path, gather) -> None:
    rng = np.random.default_rng(0)
    for case, size in (("fine", (9, 8)), ("odd", (9, 7)), ("colour", (9, 8, 3))):
        (tmp_path / case).mkdir()
        for name, shape in (("flair", (9, 8)), ("t1", size)):
            pil.fromarray(rng.integers(0, 255, shape, np.uint8)).save(tmp_path / case / f"{name}.png")
    found = joined(gather(tmp_path), BOTH)
    assert [ref.name for ref in found.refs] == ["fine"]
    assert readers.read(found.refs[0]).pixels.dtype == np.uint8
    assert {each.reason.partition(": ")[2] for each in found.rejected} == {
        "t1 has 1 × 9 × 7 voxels, flair has 1 × 9 × 8, and nothing says where they lie",
        "t1 is in colour; each file of --channels gives one channel",
    }


def test_a_file_that_alone_fits_one_channel_is_no_candidate_for_another(tmp_path, gather) -> None:
    for name in ("t1", "t1post"):
        write(tmp_path / f"p/{name}.nii.gz")
    found = joined(gather(tmp_path), Channels.of("t1='*t1*', t1c=*t1post*", None) or BOTH)
    assert [Path(path).name for path in found.refs[0].files] == ["t1.nii.gz", "t1post.nii.gz"]


def test_cases_by_an_expression(tmp_path, gather, accounted) -> None:
    for name in ("sub-01_flair", "sub-01_t1", "sub-02_flair", "sub-02_t1", "stray_t1"):
        write(tmp_path / f"{name}.nii.gz")
    found = joined(gather(tmp_path), replace(BOTH, case_by=r"(sub-\d+)_"))
    accounted(found)
    assert [ref.name for ref in found.refs] == ["sub-01", "sub-02"]
    assert [each.reason for each in found.rejected] == [r"--case-by '(sub-\d+)_' does not fit its name"]


def test_a_source_that_is_one_case_has_the_name_of_its_folder(tmp_path, gather) -> None:
    for name in ("flair", "t1"):
        write(tmp_path / "only" / f"{name}.nii.gz")
    assert [ref.name for ref in joined(gather(tmp_path / "only"), BOTH).refs] == ["only"]


def test_series_of_one_study_and_what_they_share(tmp_path, gather, write_dicom, accounted) -> None:
    rng = np.random.default_rng(1)
    for patient in ("P1", "P2"):
        for number, about in ((1, "AX FLAIR"), (2, "AX T1")):
            for z in range(3):
                write_dicom(
                    tmp_path / patient / f"{number}-{z}.dcm", rng.integers(0, 900, (6, 5)).astype(np.int16), InstanceNumber=z,
                    ImagePositionPatient=[0, 0, 2 * z], SeriesInstanceUID=f"1.2.{patient[1]}.{number}", SeriesNumber=number,
                    StudyInstanceUID=f"1.9.{patient[1]}", SeriesDescription=about, PatientID=patient, Modality="MR",
                )  # fmt: skip
    found = joined(gather(tmp_path), BOTH)
    accounted(found)
    assert [(ref.name, ref.patient, ref.study, ref.modality) for ref in found.refs] == [
        ("P1", "P1", "1.9.1", "MR"), ("P2", "P2", "1.9.2", "MR"),
    ]  # fmt: skip
    image = readers.read(found.refs[0])
    assert image.modality == "MR"
    assert image.pixels.shape == (1, 2, 3, 6, 5)


def test_files_of_two_patients_are_never_one_case(tmp_path, gather, write_dicom) -> None:
    for number, patient in enumerate(("P1", "P2")):
        name = ("flair", "t1")[number]
        write_dicom(tmp_path / f"{name}.dcm", PatientID=patient, SeriesInstanceUID=f"1.{number}", InstanceNumber=number + 1)
    with pytest.raises(InputError, match="of 2 patients"):
        joined(gather(tmp_path), BOTH)


def test_a_file_that_changed_is_a_reason_with_the_channels_name(tmp_path, gather) -> None:
    write(tmp_path / "p/flair.nii.gz")
    path = write(tmp_path / "p/t1.nii.gz")
    ref = joined(gather(tmp_path), BOTH).refs[0]
    path.write_bytes(b"no")
    with pytest.raises(Unreadable, match=r"^t1: not a readable NIfTI"):
        readers.read(ref)


def test_headers_are_opened_once(tmp_path, gather, monkeypatch) -> None:
    for name in ("flair", "t1"):
        write(tmp_path / f"p/{name}.nii.gz", placed((0, 0, 0)))
    found = gather(tmp_path / "p")
    first = joined(found, BOTH, cache=tmp_path / "cache")
    monkeypatch.setattr(nifti, "affine", None)
    assert joined(found, BOTH, cache=tmp_path / "cache") == first
    with pytest.raises(TypeError):
        joined(found, BOTH)


def test_a_header_that_cannot_be_read_is_a_reason(tmp_path, gather) -> None:
    for case in ("p", "q"):
        for name in ("flair", "t1"):
            write(tmp_path / case / f"{name}.nii.gz")
    found = gather(tmp_path)
    (tmp_path / "q/t1.nii.gz").unlink()
    left = joined(found, BOTH).rejected
    assert {each.path for each in left} == {"q/flair.nii.gz", "q/t1.nii.gz"}
    assert all(each.reason.startswith("the case q cannot be used: ") for each in left)


def test_a_stamp_follows_every_file_and_their_order(tmp_path, gather) -> None:
    write(tmp_path / "p/flair.nii.gz")
    write(tmp_path / "p/t1.nii.gz")
    first = joined(gather(tmp_path), BOTH).refs[0].stamp
    assert joined(gather(tmp_path), replace(BOTH, globs=BOTH.globs[::-1])).refs[0].stamp != first
    write(tmp_path / "p/t1.nii.gz", size=(9, 8, 6))
    assert joined(gather(tmp_path), BOTH).refs[0].stamp != first


@pytest.mark.parametrize(
    ("said", "case_by", "says"),
    [
        ("", None, "is empty"), ("flair", None, "has 'flair'"), ("a=,b=x", None, "has 'a=,b=x'"), ("a=x,a=y", None, "'a' twice"),
        ("a=x", "(", "no regular expression"), ("a=x", "sub", "no group"), (None, "parent", "without --channels"),
    ],
)  # fmt: skip
def test_flags_that_make_no_sense(said, case_by, says) -> None:
    with pytest.raises(InputError, match=says.replace("(", r"\(")):
        Channels.of(said, case_by)


def test_flags_as_they_are_written() -> None:
    told = Channels.of("""flair='*FLAIR*', t1="a, b*" ,t2=T2*""", None)
    assert told == Channels((("flair", "*FLAIR*"), ("t1", "a, b*"), ("t2", "T2*")))
    assert Channels.of(None, None) is None
    other = Channels((("t2", "x"), ("flair", "y"), ("t1", "z")))
    assert other.in_order_of(told).globs == (("flair", "y"), ("t1", "z"), ("t2", "x"))
    assert BOTH.in_order_of(told) == BOTH


def test_four_contrasts_are_prepared_each_by_its_own_range(tmp_path, gather) -> None:
    for case in ("p", "q"):
        for number, name in enumerate("abcd"):
            path = write(tmp_path / case / f"{name}.nii.gz", size=(12, 11, 9))
            volume = nibabel.load(path)
            nibabel.save(nibabel.Nifti1Image(volume.get_fdata() * 10.0**number - 7, volume.affine), path)
    found = joined(gather(tmp_path), Channels(tuple((name, f"{name}.*") for name in "abcd")))
    assert prep.main_kind(found.refs).kept == (0, 1)
    out = prep.apply(readers.read(found.refs[0]), prep.plan(found.refs))
    assert out.pixels.shape == (1, 4, 9, 11, 12)
    assert out.pixels.dtype == np.uint8
    for channel in range(4):
        np.testing.assert_allclose(out.pixels[0, channel].astype(int), out.pixels[0, 0], atol=1)


def test_a_dark_channel_is_not_cropped_away_for_a_bright_one() -> None:
    pixels = np.zeros((1, 2, 1, 40, 40), np.float32)
    pixels[0, 0, 0, 5:30, 5:30], pixels[0, 1, 0, 15:38, 15:38] = 5000, 40
    assert crop.step(Image(pixels), margin=0).pixels.shape[3:] == (33, 33)


def test_one_window_where_ct_has_phases(tmp_path, gather, write_dicom) -> None:
    for name in ("flair", "t1"):
        for z in range(3):
            write_dicom(
                tmp_path / name / f"{z}.dcm", InstanceNumber=z + 1, ImagePositionPatient=[0, 0, z],
                SeriesInstanceUID=f"1.{len(name)}",
                SeriesDescription=name, BodyPartExamined="CHEST", RescaleSlope=1, RescaleIntercept=-1024,
            )  # fmt: skip
    members = dict(zip(("flair", "t1"), gather(tmp_path).refs, strict=True))
    both = channels.reference("p", members, {name: readers.affine(ref) for name, ref in members.items()})
    steps = {step.name: step.params for step in prep.plan([both])}
    assert len(steps["normalise"]["windows"]) == 1
    assert prep.apply(readers.read(both), prep.plan([both])).pixels.shape[1] == 2


def test_what_is_kept_of_the_files_is_json(tmp_path, gather) -> None:
    write(tmp_path / "p/flair.nii.gz")
    write(tmp_path / "p/t1.nii.gz")
    said = json.loads(joined(gather(tmp_path), BOTH).refs[0].item)
    assert [(each["name"], each["reader"], each["files"]) for each in said] == [("flair", "nifti", 1), ("t1", "nifti", 1)]


def test_real_contrasts_of_two_patients(shared_data, gather) -> None:
    asked = Channels((("flair", "FLAIR*"), ("t1", "T1_*"), ("t1c", "T1POST*"), ("t2", "T2*")))
    found = joined(gather(shared_data / "open_ms", masks="GOLD_STANDARD*"), asked)
    assert [(ref.name, ref.shape, ref.fact("resampled")) for ref in found.refs] == [
        ("patient19", (1, 4, 182, 218, 182), None), ("patient26", (1, 4, 182, 218, 182), None),
    ]  # fmt: skip
    assert [mask.name.split("/")[0] for mask in found.masks] == ["patient19", "patient26"]
