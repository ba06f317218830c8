import hashlib

import pytest

from medloop.errors import InputError
from medloop.store.blobs import Blobs, tidy_suffix


@pytest.fixture(params=["folder", "memory"])
def blobs(request, tmp_path):
    """A place on this machine, and one that is elsewhere as far as fsspec is concerned."""
    return Blobs(tmp_path, None if request.param == "folder" else f"memory://{tmp_path.name}/blobs")


def test_bytes_come_back_by_their_hash(blobs, tmp_path):
    key = blobs.put(b"pixels", ".NII.gz")
    assert key == hashlib.sha256(b"pixels").hexdigest() + ".nii.gz"
    (tmp_path / "scan.nii.gz").write_bytes(b"pixels")
    assert blobs.put_file(tmp_path / "scan.nii.gz") == key
    assert blobs.every() == [key]
    assert blobs.get(key) == b"pixels"
    assert blobs.local(key) == blobs.path(key)
    assert blobs.key_of(str(blobs.local(key))) == key
    assert blobs.sound(key)
    blobs.delete(key)
    blobs.delete(key)
    assert not blobs.has(key)
    with pytest.raises(InputError, match="no blob"):
        blobs.get(key)


def test_a_changed_blob_is_noticed(tmp_path):
    blobs = Blobs(tmp_path)
    key = blobs.put(b"pixels")
    blobs.path(key).write_bytes(b"pixelz")
    assert not blobs.sound(key)


def test_what_fails_leaves_nothing(blobs, tmp_path, monkeypatch):
    (tmp_path / "scan").write_bytes(b"pixels")

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(blobs._fs, "mv", full)
    for put in (lambda: blobs.put(b"pixels"), lambda: blobs.put_file(tmp_path / "scan")):
        with pytest.raises(InputError, match="No space is left"):
            put()
    assert blobs.every() == []
    assert [name for name in blobs._fs.find(blobs._base) if "drafts" in name] == []


@pytest.mark.parametrize("key", ["../../etc/passwd", "", "0" * 63, "0" * 64 + "/x", "0" * 64 + ".a/../b"])
def test_what_is_no_key_leads_nowhere(blobs, key):
    with pytest.raises(InputError, match="no blob"):
        blobs.local(key)


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("a.png", ".png"),
        ("a.nii.gz", ".nii.gz"),
        ("Doe.Jane.1970.dcm", ".dcm"),
        ("a", ""),
        ("a.p/g", ""),
        ("a.averylongending", ""),
    ],
)
def test_suffixes_say_no_names(name, suffix):
    assert tidy_suffix(name) == suffix


def test_an_address_that_is_none_is_refused(tmp_path):
    with pytest.raises(InputError, match="place of blobs"):
        Blobs(tmp_path, "nowhere://x")
