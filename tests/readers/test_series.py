"""Slices of one series become volumes: sorted, told apart, never silently merged."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medloop import readers
from medloop.readers import _series
from medloop.readers._series import Slice, arrange


def _slice(number, z, *, x=0.0, orientation=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0), kind=(), frame=0, **times):
    names = ("temporal position", "trigger time", "b-value", "acquisition number", "time")
    return Slice(
        file=number, frame=frame, position=(x, 0.0, z), orientation=orientation, spacing=(0.5, 0.75), thickness=2.0,
        instance=number, kind=kind, times=tuple((name, times.get(name.split()[0].split("-")[0])) for name in names),
    )  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(
    count=st.integers(2, 30), step=st.floats(0.3, 8), start=st.floats(-500, 500), seed=st.integers(0, 99), tilt=st.floats(-1.2, 1.2)
)
def test_any_order_is_sorted_along_the_normal(count, step, start, seed, tilt):
    cos, sin = float(np.cos(tilt)), float(np.sin(tilt))
    normal = np.array([0.0, -sin, cos])
    slices = [
        Slice(n, 0, tuple(normal * (start + n * step)), (1.0, 0.0, 0.0, 0.0, cos, sin), (1.0, 1.0), None, 0, (), ())
        for n in range(count)
    ]
    random.Random(seed).shuffle(slices)
    done = arrange(slices)
    assert len(done.volumes) == 1
    assert not done.left
    volume = done.volumes[0]
    assert [each.file for each in volume.frames[0]] == list(range(count))
    assert volume.affine_lps is not None
    for z, each in enumerate(volume.frames[0]):
        assert np.allclose(volume.affine_lps @ [0, 0, z, 1], [*each.position, 1], atol=1e-6)
    assert volume.spacing_mm == pytest.approx((step, 1.0, 1.0))


def _check_sorted():
    slices = [_slice(number, z) for number, z in enumerate((4.0, 0.0, 2.0))]
    assert [each.position[2] for each in arrange(slices).volumes[0].frames[0]] == [0.0, 2.0, 4.0]


def test_sorting_by_instance_number_would_be_caught(monkeypatch):
    _check_sorted()
    monkeypatch.setattr(_series, "_places", lambda slices: [[each] for each in sorted(slices, key=lambda each: each.instance)])
    with pytest.raises(AssertionError):
        _check_sorted()


def test_a_gap_cuts_the_volume_in_two_and_is_told():
    done = arrange([_slice(n, 2.0 * n) for n in range(10) if n not in (4, 5)])
    assert [[each.file for each in volume.frames[0]] for volume in done.volumes] == [[0, 1, 2, 3], [6, 7, 8, 9]]
    assert all("2 slices are missing" in volume.apart for volume in done.volumes)
    assert [volume.spacing_mm for volume in done.volumes] == [(2.0, 0.5, 0.75)] * 2


def test_uneven_slices_stay_together_without_an_affine():
    done = arrange([_slice(n, z) for n, z in enumerate((0.0, 2.0, 4.7, 6.0, 9.1, 10.0))])
    assert len(done.volumes) == 1
    assert done.volumes[0].affine_lps is None
    assert done.volumes[0].spacing_mm is None
    assert "not evenly spaced" in done.volumes[0].says[0]


def test_a_tilted_gantry_keeps_its_shear():
    done = arrange([_slice(n, 2.0 * n, x=0.5 * n) for n in range(5)])
    assert np.allclose(done.volumes[0].affine_lps[:3, 2], [0.5, 0.0, 2.0])


@pytest.mark.parametrize("name", ["temporal", "trigger", "b", "acquisition", "time"])
def test_time_points_are_told_apart(name):
    slices = [_slice(100 * n + t, 2.0 * n, **{name: float(10 - t)}) for n in range(4) for t in range(3)]
    done = arrange(slices)
    assert len(done.volumes) == 1
    assert [[each.file for each in layer] for layer in done.volumes[0].frames] == [
        [100 * n + t for n in range(4)] for t in (2, 1, 0)
    ]
    assert "3 time points, told apart by" in done.volumes[0].says[0]


def test_time_points_by_order_in_the_series_alone():
    done = arrange([_slice(t * 4 + n, 2.0 * n) for t in range(3) for n in range(4)])
    assert [[each.file for each in layer] for layer in done.volumes[0].frames] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]


def test_a_time_point_cut_short_is_left_and_told():
    slices = [_slice(t * 4 + n, 2.0 * n, temporal=float(t)) for t in range(3) for n in range(4)]
    done = arrange(slices[:-1])
    assert len(done.volumes[0].frames) == 2
    assert [reason for _, reason in done.left] == ["its time point is cut short: 3 of 4 slices"] * 3


def test_a_second_acquisition_of_a_part_stands_alone():
    slices = [_slice(n, 2.0 * n, acquisition=1.0) for n in range(6)] + [
        _slice(10 + n, 2.0 * n, acquisition=2.0) for n in range(4, 9)
    ]
    done = arrange(slices)
    assert [len(volume.frames[0]) for volume in done.volumes] == [6, 5]
    assert "acquisition number 2" in done.volumes[1].apart


def test_duplicate_positions_that_nothing_tells_apart():
    done = arrange([_slice(n, 2.0 * n) for n in range(5)] + [_slice(9, 4.0)])
    assert [len(volume.frames[0]) for volume in done.volumes] == [5]
    assert [each.file for each, _ in done.left] == [9]
    assert "nothing tells the two apart" in done.left[0][1]


def test_two_whole_sets_with_the_same_instance_numbers_are_two_volumes():
    first = [_slice(n, 2.0 * n) for n in range(4)]
    second = [
        Slice(10 + n, 0, each.position, each.orientation, each.spacing, 2.0, n, (), each.times) for n, each in enumerate(first)
    ]
    done = arrange(first + second)
    assert [[each.file for each in volume.frames[0]] for volume in done.volumes] == [[0, 1, 2, 3], [10, 11, 12, 13]]
    assert done.volumes[0].apart == "set 1 of 2 at the same positions"


def test_kinds_directions_and_sizes_are_told_apart():
    upright = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
    slices = [
        *(_slice(n, 2.0 * n, kind=(("echo time", 10.0),)) for n in range(3)),
        *(_slice(10 + n, 2.0 * n, kind=(("echo time", 20.0),)) for n in range(3)),
        *(_slice(20 + n, 0.0, x=2.0 * n, orientation=upright, kind=(("echo time", 10.0),)) for n in range(3)),
    ]
    done = arrange(slices)
    assert [[each.file for each in volume.frames[0]] for volume in done.volumes][:2] == [[0, 1, 2], [10, 11, 12]]
    assert {each.file for each in done.volumes[2].frames[0]} == {20, 21, 22}
    assert "echo time 10" in done.volumes[0].apart
    assert "echo time 20" in done.volumes[1].apart
    assert "direction" in done.volumes[2].apart


def _check_unmixed():
    slices = [_slice(n, 2.0 * n, kind=(("echo time", 10.0 if n < 3 else 20.0),)) for n in range(6)]
    for volume in arrange(slices).volumes:
        assert len({each.kind for layer in volume.frames for each in layer}) == 1


def test_merging_kinds_silently_would_be_caught(monkeypatch):
    _check_unmixed()
    monkeypatch.setattr(_series, "_comparable", lambda slices: [list(slices)])
    with pytest.raises(AssertionError):
        _check_unmixed()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.tuples(st.integers(0, 6), st.integers(0, 3), st.sampled_from([None, 1.0, 2.0]), st.sampled_from(["a", "b"])),
        min_size=1,
        max_size=25,
    )
)
def test_no_slice_is_lost_or_used_twice(drawn):
    slices = [_slice(n, 1.5 * z, kind=(("kind", kind),), temporal=time) for n, (z, _, time, kind) in enumerate(drawn)]
    done = arrange(slices)
    used = [each.file for volume in done.volumes for layer in volume.frames for each in layer]
    left = [each.file for each, _ in done.left]
    assert sorted(used + left) == list(range(len(slices)))
    for volume in done.volumes:
        assert len({len(layer) for layer in volume.frames}) == 1
        assert len({each.kind for layer in volume.frames for each in layer}) == 1


def test_a_folder_of_shuffled_files_is_one_volume(tmp_path: Path, write_dicom, gather, accounted):
    order = list(range(6))
    random.Random(1).shuffle(order)
    for place, z in enumerate(order):
        write_dicom(tmp_path / f"f{place}.dcm", InstanceNumber=place, ImagePositionPatient=[-3, 4, 2.5 * z], PatientAge="045Y")
    found = gather(tmp_path)
    accounted(found)
    (ref,) = found.refs
    assert (ref.name, ref.shape, ref.spacing_mm) == ("#series-7", (1, 1, 6, 3, 4), (2.5, 0.5, 0.75))
    image = readers.read(ref)
    assert [int(image.pixels[0, 0, z, 0, 0]) for z in range(6)] == [100 * order.index(z) for z in range(6)]
    assert np.allclose(image.affine_lps, [[0.75, 0, 0, -3], [0, 0.5, 0, 4], [0, 0, 2.5, 0], [0, 0, 0, 1]])
    assert (ref.fact("age_years"), ref.fact("age_band"), ref.patient, ref.series) == ("45", "40-49", "P1", "1.2.3.4")


def test_series_sharing_a_folder_stay_apart(tmp_path: Path, write_dicom, gather, accounted):
    for series in (1, 2):
        for n in range(3):
            where = {
                "SeriesInstanceUID": f"1.2.{series}",
                "SeriesNumber": series,
                "InstanceNumber": n,
                "ImagePositionPatient": [0, 0, n],
            }
            write_dicom(tmp_path / "all" / f"{series}-{n}.dcm", **where)
    write_dicom(
        tmp_path / "all" / "wide.dcm", np.zeros((3, 9), np.int16), SeriesInstanceUID="1.2.1", SeriesNumber=1, InstanceNumber=9
    )
    found = gather(tmp_path)
    accounted(found)
    assert [(ref.name, ref.shape[2:]) for ref in found.refs] == [
        ("all#series-1", (3, 3, 4)), ("all#series-2", (3, 3, 4)), ("all/wide.dcm", (1, 3, 9)),
    ]  # fmt: skip


def test_a_copied_file_is_told_and_not_counted_twice(tmp_path: Path, write_dicom, gather, accounted):
    for n in range(3):
        write_dicom(tmp_path / "a" / f"{n}.dcm", InstanceNumber=n, ImagePositionPatient=[0, 0, n])
    (tmp_path / "copy.dcm").write_bytes((tmp_path / "a" / "1.dcm").read_bytes())
    found = gather(tmp_path)
    accounted(found)
    assert [ref.shape for ref in found.refs] == [(1, 1, 3, 3, 4)]
    assert [(each.path, each.reason) for each in found.rejected] == [
        ("copy.dcm", "a copy of a/1.dcm: both are the same object (SOP Instance UID)")
    ]


def test_equal_uids_on_different_slices_are_not_taken_for_copies(tmp_path: Path, write_dicom, gather):
    for n in range(4):
        write_dicom(tmp_path / f"{n}.dcm", InstanceNumber=n, ImagePositionPatient=[0, 0, n], SOPInstanceUID="1.2.9")
    assert [ref.shape[2] for ref in gather(tmp_path).refs] == [4]
