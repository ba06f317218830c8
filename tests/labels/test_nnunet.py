"""nnU-Net folders."""

from __future__ import annotations

import json

import numpy as np
import pytest

from medloop import readers
from medloop.compute import Compute
from medloop.errors import InputError
from medloop.labels import Using, read
from medloop.readers import Channels, channels_of, collect, join
from medloop.requests import SourceRequest
from medloop.types import UNKNOWN, Split, TargetKind

TWO = {"channel_names": {"0": "T1 weighted", "1": "FLAIR"}, "labels": {"background": 0, "organ": 1, "lesion": 2}}


@pytest.fixture
def make(tmp_path, write_volume):
    """Writes a folder with ``channels`` files a case and the ``about`` of ``dataset.json``; gives its path."""

    def made(about, channels=1, test=True):
        for part, cases in (("Tr", ("p1", "p2")), ("Ts", ("p3",))):
            for case in cases:
                for channel in range(channels):
                    write_volume(
                        tmp_path / f"images{part}" / f"{case}_{channel:04d}.nii.gz", np.full((4, 5, 3), channel, np.float32)
                    )
                mask = np.zeros((4, 5, 3), np.uint8)
                mask[1:3, 1:3, 1], mask[1, 1, 1] = 1, 2
                if part == "Tr" or test:
                    write_volume(tmp_path / f"labels{part}" / f"{case}.nii.gz", mask)
        (tmp_path / "dataset.json").write_text(about if isinstance(about, str) else json.dumps(about))
        return tmp_path

    return made


def read_joined(folder):
    """The labels as the verbs read them: with the channels that the layout says."""
    request = SourceRequest(src=str(folder))
    with Compute(0) as compute:
        found = collect(folder, compute=compute)
        asked = Channels.of(*channels_of(request.src, None, None))
        return read(found if asked is None else join(found, asked, compute=compute), request, Using(compute=compute))


def test_the_second_version_with_two_channels(make):
    found = read_joined(make(TWO, channels=2))
    assert found.target.kind is TargetKind.MASKS
    assert found.target.classes == ("organ", "lesion")
    assert [case.name for case in found.cases] == ["imagesTr/p1", "imagesTr/p2", "imagesTs/p3"]
    assert [case.given_split for case in found.cases] == [Split.TRAIN, Split.TRAIN, Split.TEST]
    assert readers.read(found.cases[0].images[0]).pixels[0, :, 0, 0, 0].tolist() == [0, 1]
    assert found.cases[0].images[0].fact("channels") == "T1_weighted, FLAIR"
    assert found.further[0].known.all()
    assert found.problems == []
    assert [(each["class"], each["count"]) for each in found.found] == [("organ", 9), ("lesion", 3)]


def test_the_first_version_with_one_channel_and_no_masks_of_the_test_images(make, read_folder, problems):
    about = {"modality": {"0": "CT"}, "labels": {"0": "background", "1": "liver", "2": "tumour"}}
    found = read_folder(make(about, test=False))
    assert found.target.classes == ("liver", "tumour")
    assert [case.name for case in found.cases] == ["imagesTr/p1_0000.nii.gz", "imagesTr/p2_0000.nii.gz"]
    assert {case.given_split for case in found.cases} == {None}
    assert problems(found) == ["imagesTs/p3_0000.nii.gz: it has no label map"]


def test_regions_and_voxels_to_ignore(make, read_folder):
    about = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "whole": [1, 2], "core": 2, "ignore": 3}}
    found = read_folder(make(about))
    assert found.target.classes == ("whole", "core")
    assert dict(found.further[0].lookup) == {-1: UNKNOWN, 0: 0, 1: 1, 2: 2, 3: UNKNOWN}


def test_masks_without_image_are_told(make, write_volume, read_folder, problems):
    folder = make(TWO)
    write_volume(folder / "labelsTr" / "p9.nii.gz", np.zeros((4, 5, 3), np.uint8))
    assert problems(read_folder(folder)) == ["labelsTr/p9.nii.gz: no image fits this mask"]


@pytest.mark.parametrize("about", ["{", "[]", {"labels": {"liver": "one"}}, {"labels": {"liver": []}}, {"name": "x"}])
def test_a_file_that_does_not_say_what_the_labels_mean_is_refused(make, read_folder, about):
    with pytest.raises(InputError) as caught:
        read_folder(make(about))
    assert caught.value.code == "bad-nnunet"


def test_named_by_its_file(make, read_folder):
    folder = make(TWO)
    assert read_folder(folder, labels=str(folder / "dataset.json")).target.classes == ("organ", "lesion")
