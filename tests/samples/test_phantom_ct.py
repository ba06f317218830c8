"""The phantom collection as whoever uses it sees it: files, tables, truth."""

from __future__ import annotations

import dataclasses
import hashlib
import subprocess
import sys
from collections import Counter
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pydicom
import pytest
from scipy import ndimage
from sklearn.metrics import roc_auc_score

from medloop import readers
from medloop.compute import Compute
from medloop.errors import InputError
from medloop.loop import _standards
from medloop.samples import _lesions, _scanner, phantom_ct
from medloop.samples._body import ORGANS
from medloop.targets import measures

DCIODVFY = Path(sys.executable).parent / "dciodvfy"


def _hashes(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _volume(folder):
    """One series ``(Z, Y, X)`` in HU from feet to head, and the slices."""
    slices = sorted((pydicom.dcmread(path) for path in folder.iterdir()), key=lambda each: float(each.ImagePositionPatient[2]))
    hu = np.stack([each.pixel_array * float(each.RescaleSlope) + float(each.RescaleIntercept) for each in slices])
    return hu, slices


def _studies(written):
    labels = pd.read_csv(written / "labels.csv", dtype=str)
    labels["study"] = (labels.groupby("patient").cumcount() + 1).astype(str)
    for row in labels.itertuples():
        yield row, written / "images" / row.patient / row.study, written / "masks" / f"{row.patient}_{row.study}.nii.gz"


def test_result_counts_what_lies_there(tmp_path):
    result = phantom_ct.write(tmp_path / "ct", seed=1, patients=4)
    labels = pd.read_csv(result.labels)
    assert result.files == len(list((tmp_path / "ct").rglob("*.dcm")))
    assert result.studies == len(labels) == len(list((tmp_path / "ct" / "masks").glob("*.nii.gz")))
    assert result.patients == labels.patient.nunique() == 4
    assert Path(result.images) == tmp_path / "ct" / "images"


def test_every_study_has_its_row_and_its_own_identifiers(written):
    instances = Counter()
    for row, images, _ in _studies(written):
        headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in images.iterdir()]
        assert {each.StudyInstanceUID for each in headers} == {row.study_uid}
        assert {each.PatientID for each in headers} == {row.patient}
        assert {str(each.PatientName).split("^")[0] for each in headers} == {"Phantom"}
        assert len({each.SeriesInstanceUID for each in headers}) == 1
        assert sorted(int(each.InstanceNumber) for each in headers) == list(range(1, len(headers) + 1))
        instances.update(each.SOPInstanceUID for each in headers)
    assert set(instances.values()) == {1}


def test_files_are_valid_ct_images(written):
    """dciodvfy knows the CT Image IOD by heart; it also has to find what is broken on purpose."""
    one_each = [next(images.iterdir()) for _, images, _ in _studies(written)]
    for path in one_each:
        told = subprocess.run([DCIODVFY, "-new", path], capture_output=True, text=True, check=False)
        assert told.returncode == 0, told.stderr
        assert "Error" not in told.stderr
    broken = pydicom.dcmread(one_each[0])
    del broken.FrameOfReferenceUID
    broken.save_as(written.parent / "broken.dcm")
    assert subprocess.run([DCIODVFY, "-new", written.parent / "broken.dcm"], capture_output=True, check=False).returncode != 0


def test_our_reader_finds_one_volume_a_study(written):
    with Compute(0) as compute:
        found = readers.collect(written / "images", compute=compute)
    assert not found.rejected
    assert not found.warnings
    assert len(found.refs) == len(list(_studies(written)))
    hu, slices = _volume(written / "images" / "P0001" / "1")
    image = readers.read(next(ref for ref in found.refs if ref.study == slices[0].StudyInstanceUID))
    assert image.pixels.shape == (1, 1, *hu.shape)
    assert {float(image.pixels.min()), float(image.pixels.max())} == {hu.min(), hu.max()}


def test_label_maps_lie_on_the_images(written):
    """Organs have the brightness of their tissue, where the affines of both files say they are."""
    bright = {"liver": (75, 130), "spleen": (100, 135), "aorta": (120, 200), "gallbladder": (-10, 70), "spine": (60, 450)}
    for _, images, mask in _studies(written):
        hu, slices = _volume(images)
        labels = nibabel.load(mask)
        ras = np.diag([-1, -1, 1, 1]) @ labels.affine
        np.testing.assert_allclose(ras[:3, 3], [float(value) for value in slices[0].ImagePositionPatient], atol=1e-3)
        step = float(slices[1].ImagePositionPatient[2]) - float(slices[0].ImagePositionPatient[2])
        np.testing.assert_allclose(np.diag(ras)[:3], [*map(float, slices[0].PixelSpacing), step], atol=1e-3)
        values = np.asarray(labels.dataobj).transpose(2, 1, 0)
        assert values.shape == hu.shape
        for organ, (low, high) in bright.items():
            inside = hu[values == ORGANS[organ]]
            assert inside.size == 0 or low < np.median(inside) < high, organ


def test_lesions_lie_where_the_table_says_and_are_as_large(written):
    """Centre and volume measured in the label maps agree with the table; a table shifted by 2 cm does not."""
    lesions = pd.read_csv(written / "lesions.csv")
    checked = 0
    for row, _, mask in _studies(written):
        image = nibabel.load(mask)
        values, affine = np.asarray(image.dataobj), np.diag([-1, -1, 1, 1]) @ image.affine
        mine = lesions[lesions.study_uid == row.study_uid]
        for kind in ("tumour", "cyst"):
            told = mine[mine.kind == kind].volume_ml.sum()
            seen = (values == ORGANS[kind]).sum() * abs(np.linalg.det(affine[:3, :3])) / 1000
            assert seen == pytest.approx(told, rel=0.12, abs=0.6)
        for lesion in mine[mine.longest_mm > 12].itertuples():
            place = np.linalg.solve(affine, [lesion.x_mm, lesion.y_mm, lesion.z_mm, 1])[:3]
            assert values[tuple(np.rint(place).astype(int))] == ORGANS[lesion.kind]
            checked += 1
    assert checked >= 8


def test_labels_follow_from_lesions(written):
    lesions = pd.read_csv(written / "lesions.csv")
    ill = set(lesions[lesions.kind == "tumour"].study_uid)
    labels = pd.read_csv(written / "labels.csv")
    assert (labels.diagnosis == "tumour").tolist() == [uid in ill for uid in labels.study_uid]
    assert set(labels.diagnosis) == {"tumour", "no tumour"}
    assert (lesions[lesions.kind == "cyst"].irregularity < 0.04).all()
    assert (lesions[lesions.kind == "tumour"].irregularity > 0.03).all()


def test_tumours_change_and_cysts_do_not(written):
    lesions = pd.read_csv(written / "lesions.csv")
    sizes = lesions.pivot(index=["patient", "lesion", "kind"], columns="study", values="longest_mm").dropna()
    tumour = sizes.index.get_level_values("kind") == "tumour"
    assert tumour.any()
    assert (abs(sizes[2] / sizes[1] - 1)[tumour] > 0.08).all()
    assert np.allclose(sizes[1][~tumour], sizes[2][~tumour])


def test_equal_seeds_give_equal_bytes_and_other_seeds_do_not(written, tmp_path):
    phantom_ct.write(tmp_path / "again", seed=5, patients=8, workers=0)
    phantom_ct.write(tmp_path / "other", seed=6, patients=4, workers=0)
    first, again, other = (_hashes(folder) for folder in (written, tmp_path / "again", tmp_path / "other"))
    assert first == again
    same = [name for name in other if first.get(name) == other[name]]
    assert same == ["codes.toml", "masks/values.csv"]


def test_nothing_but_the_picture_tells_the_diagnosis():
    """Over many patients no dealt fact tells more than chance; a fact that follows the diagnosis is found by the same check."""
    patients = phantom_ct.deal(seed=0, number=400)
    ill = [patient.diagnosis == "tumour" for patient in patients]
    facts = {
        "site": [patient.scanner for patient in patients],
        "sex": [patient.sex == "F" for patient in patients],
        "age": [patient.age for patient in patients],
        "studies": [len(patient.studies) for patient in patients],
        "thickness": [patient.studies[0] for patient in patients],
        "place in the list": [patient.number for patient in patients],
    }
    for name, values in facts.items():
        assert abs(roc_auc_score(ill, values) - 0.5) < 0.07, name
    assert roc_auc_score(ill, [patient.tumours for patient in patients]) == 1


def test_shortcuts_are_absent_from_the_files_too(written):
    """Size of file, number of slices and spacing may differ between scanners, never between diagnoses of one scanner."""
    rows = []
    for row, images, _ in _studies(written):
        header = pydicom.dcmread(next(images.iterdir()), stop_before_pixels=True)
        rows.append((row.diagnosis, row.site, header.Manufacturer, header.Rows, header.ConvolutionKernel, header.StudyDescription))
    seen = pd.DataFrame(rows, columns=["diagnosis", "site", "maker", "rows", "kernel", "description"])
    assert seen.description.nunique() == 1
    by_site = seen.groupby("site")[["maker", "rows", "kernel"]].nunique()
    assert (by_site == 1).all(axis=None)
    assert (seen.groupby("diagnosis").site.nunique() == 2).all()


@pytest.mark.parametrize("patients", [0, 3, 5001])
def test_a_number_that_makes_no_collection_is_refused(tmp_path, patients):
    with pytest.raises(InputError) as told:
        phantom_ct.write(tmp_path / "ct", patients=patients)
    assert str(patients) in told.value.got
    assert not (tmp_path / "ct").exists()


def test_a_folder_with_something_in_it_is_refused(tmp_path):
    (tmp_path / "mine.txt").write_text("keep me")
    with pytest.raises(InputError, match="empty"):
        phantom_ct.write(tmp_path, patients=4)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_an_empty_folder_is_filled(tmp_path):
    folder = tmp_path / "empty"
    folder.mkdir()
    phantom_ct.write(folder, patients=4, workers=0)
    assert (folder / "labels.csv").is_file()


def test_nothing_is_left_behind_by_a_failure(tmp_path, monkeypatch):
    def fail(*_):
        raise RuntimeError("on purpose")

    monkeypatch.setattr(phantom_ct, "_table", fail)
    with pytest.raises(RuntimeError, match="on purpose"):
        phantom_ct.write(tmp_path / "ct", patients=4, workers=0)
    assert list(tmp_path.iterdir()) == []


def test_a_ball_is_measured_as_a_ball():
    rng = np.random.default_rng(0)
    lesion = dataclasses.replace(_lesions._draw(rng, "tumour", early=False), irregular=0.0)
    sphere = _lesions.measure(lesion, 20.0)
    exact = 4 / 3 * np.pi * 20**3 / 1000
    assert sphere.volume_ml == pytest.approx(exact, rel=0.01)
    assert sphere.longest_mm == pytest.approx(40, rel=0.01)
    assert sphere.irregularity == pytest.approx(0, abs=1e-4)
    assert _lesions.measure(lesion, 26.0).volume_ml == pytest.approx(sphere.volume_ml * 1.3**3, rel=1e-3)
    assert _lesions.measure(lesion, 26.0).longest_mm == pytest.approx(sphere.longest_mm * 1.3, rel=1e-3)


def test_the_truth_check_notices_wrong_truth(tmp_path, monkeypatch):
    """Painted 20 % larger than the table says, the lesions no longer agree with it."""
    honest = _scanner.paint_lesion
    monkeypatch.setattr(_scanner, "paint_lesion", lambda canvas, lesion, mm, hu: honest(canvas, lesion, 1.2 * mm, hu))
    phantom_ct.write(tmp_path / "ct", seed=5, patients=6, workers=0)
    with pytest.raises(AssertionError):
        test_lesions_lie_where_the_table_says_and_are_as_large(tmp_path / "ct")


def test_true_masks_measure_what_the_table_of_lesions_says(written: Path) -> None:
    found, true = [], []
    for line in pd.read_csv(written / "lesions.csv").to_dict("records"):
        image = nibabel.load(written / "masks" / f"{line['patient']}_{line['study']}.nii.gz")
        spacing = tuple(float(each) for each in image.header.get_zooms()[:3][::-1])
        labels = np.asarray(image.dataobj).transpose(2, 1, 0)
        value = 11 if line["kind"] == "tumour" else 12
        centre = np.linalg.inv(image.affine) @ [-float(line["x_mm"]), -float(line["y_mm"]), float(line["z_mm"]), 1]
        number = ndimage.label(labels == value)[0]
        own = number == number[tuple(np.rint(centre[2::-1]).astype(int))]
        if 0.9 < own.sum() * np.prod(spacing) / 1000 / float(line["volume_ml"]) < 1.1:  # it touches no other
            found.append(measures.measure(own.astype(np.uint8), spacing, ("lesion",))["lesion longest diameter"])
            true.append(float(line["longest_mm"]))
    assert len(found) >= 10
    assert abs(np.mean(np.subtract(found, true))) < 0.8
    assert np.abs(np.subtract(found, true)).mean() < 1


def test_its_mapping_is_one_that_proposals_can_carry(written):
    found = _standards.mapping_of(str(written / "codes.toml"))
    diagnoses = set(pd.read_csv(written / "labels.csv")["diagnosis"])
    assert {name for name in diagnoses if found.of([name])} == diagnoses
    shown = (Path(__file__).parents[2] / "docs" / "reference" / "standards.md").read_text(encoding="utf-8")
    assert (written / "codes.toml").read_text(encoding="utf-8") in shown
