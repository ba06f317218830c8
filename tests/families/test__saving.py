from __future__ import annotations

import json

import numpy as np
import pytest

from medloop import families
from medloop.errors import InputError
from medloop.families import _saving, classical
from medloop.types import TargetKind


@pytest.fixture
def saved(make_job, tmp_path):
    heads = [
        {"features": [0], "estimator": "logistic", "params": {"C": 1.0}},
        {"features": [1], "estimator": "extra-trees", "params": {"trees": 5}},
    ]
    model = classical.fit(make_job(TargetKind.BINARY, np.arange(40) % 2, heads=heads)).model
    return families.save(model, tmp_path / "model")


def test_a_folder_of_json_safetensors_and_onnx(saved):
    assert sorted(path.name for path in saved.iterdir()) == ["arrays.safetensors", "head-1-0.onnx", "model.json"]
    head = json.loads((saved / "model.json").read_text())
    assert head["format_version"] == families.FORMAT
    assert head["family"] == "classical"
    assert set(head["files"]) == {"arrays.safetensors", "head-1-0.onnx"}
    assert families.load(saved).family == "classical"


@pytest.mark.parametrize("name", ["arrays.safetensors", "head-1-0.onnx", "model.json"])
def test_one_changed_byte_is_refused(saved, name):
    content = bytearray((saved / name).read_bytes())
    place = content.index(b"0.", len(content) // 3) + 2 if name == "model.json" else len(content) // 2
    content[place] = ord("1") if content[place] != ord("1") else ord("2")
    (saved / name).write_bytes(content)
    with pytest.raises(InputError, match="changed") as error:
        families.load(saved)
    assert name in error.value.got
    assert "again" in error.value.fix


def test_the_check_above_is_what_refuses(saved, monkeypatch):
    """Without hashes a changed coefficient would be used."""
    path = saved / "arrays.safetensors"
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    listed = json.loads((saved / "model.json").read_text())["files"]
    hashes = iter(listed.values())
    monkeypatch.setattr(_saving, "_sha256", lambda content: next(hashes))
    monkeypatch.setattr(_saving, "_seal", lambda head: json.loads((saved / "model.json").read_text())["sha256"])
    assert families.load(saved).family == "classical"


@pytest.mark.parametrize("name", ["arrays.safetensors", "head-1-0.onnx", "model.json"])
def test_a_missing_file_is_named(saved, name):
    (saved / name).unlink()
    with pytest.raises(InputError, match=name):
        families.load(saved)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b'{"family": "classical"}'])
def test_a_broken_description(saved, content):
    (saved / "model.json").write_bytes(content)
    with pytest.raises(InputError, match="cannot be trusted"):
        families.load(saved)


def test_a_newer_format_says_what_to_do(saved):
    _edit(saved, format_version=families.FORMAT + 1, medloop="9.0")
    with pytest.raises(InputError, match=r"9\.0") as error:
        families.load(saved)
    assert error.value.fix == "Install a newer medloop."


def test_a_family_that_is_not_there(saved):
    _edit(saved, family="clasical")
    with pytest.raises(InputError, match="clasical") as error:
        families.load(saved)
    assert "classical" in error.value.fix


def test_a_file_outside_the_folder_is_not_read(saved, tmp_path):
    (tmp_path / "secret").write_bytes(b"x")
    _edit(saved, files={"../secret": _saving._sha256(b"x")})
    with pytest.raises(InputError, match="outside"):
        families.load(saved)


def test_a_feature_of_another_version(saved):
    head = json.loads((saved / "model.json").read_text())
    head["model"]["features"][0]["version"] += 1
    _edit(saved, model=head["model"])
    with pytest.raises(InputError, match="hog") as error:
        families.load(saved)
    assert "again" in error.value.fix


def test_no_folder(tmp_path):
    with pytest.raises(InputError, match="no folder"):
        families.load(tmp_path / "nothing")


def test_a_folder_that_is_there_is_kept(saved):
    model = families.load(saved)
    with pytest.raises(InputError, match="there already"):
        families.save(model, saved)
    assert families.load(saved).family == "classical"


def _edit(folder, **changes):
    """Change the description and seal it anew, as a newer medloop (or a careful forger) would."""
    head = json.loads((folder / "model.json").read_text()) | changes
    del head["sha256"]
    (folder / "model.json").write_text(json.dumps(head | {"sha256": _saving._seal(head)}))
