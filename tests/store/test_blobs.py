import hashlib
import sys
from datetime import UTC, datetime, timedelta

import fsspec
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


class Killed(BaseException):
    """Nothing may clean up after it."""


def _killed(*_, **__):
    raise Killed


@pytest.fixture
def shelf(tmp_path):
    """A place that knows no renames and shows a file only when it is whole, as object stores do."""
    blobs = Blobs(tmp_path, f"memory://{tmp_path.name}/shelf")
    assert type(blobs._fs).mv is fsspec.AbstractFileSystem.mv  # a copy, then the draft goes
    return blobs


@pytest.mark.parametrize("put", ["put", "put_file"])
@pytest.mark.parametrize("moment", ["before the copy", "after the copy"])
def test_without_renames_a_name_never_stands_for_half(shelf, tmp_path, monkeypatch, put, moment):
    (tmp_path / "scan").write_bytes(b"pixels")
    key = hashlib.sha256(b"pixels").hexdigest()

    with monkeypatch.context() as patched:
        patched.setattr(shelf._fs, "cp_file" if moment == "before the copy" else "rm", _killed)
        patched.setattr(shelf, "_drop", lambda place: None)
        with pytest.raises(Killed):
            shelf.put(b"pixels") if put == "put" else shelf.put_file(tmp_path / "scan")
    assert shelf.every() == ([] if moment == "before the copy" else [key])
    assert all(shelf.sound(each) for each in shelf.every())
    assert shelf.put(b"pixels") == key
    assert shelf.get(key) == b"pixels"


def test_half_a_blob_under_its_name_would_be_seen(shelf):
    """The check above fails where a blob is written in place."""
    key = hashlib.sha256(b"pixels").hexdigest()
    shelf._fs.pipe_file(shelf._place(key), b"pix")
    assert shelf.every() == [key]
    assert not shelf.sound(key)


def test_drafts_of_the_killed_are_swept_and_those_of_others_are_not(blobs, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(blobs._fs, "mv", _killed)
        patched.setattr(blobs, "_drop", lambda place: None)
        with pytest.raises(Killed):
            blobs.put(b"pixels")
    assert blobs.sweep() == 0
    later = datetime.now(UTC) + timedelta(days=2)
    monkeypatch.setattr("medloop.store.blobs.datetime", type("Later", (datetime,), {"now": classmethod(lambda cls, tz: later)}))
    assert blobs.sweep() == 1
    assert blobs._fs.find(f"{blobs._base}/drafts") == []


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


def test_an_address_whose_package_is_missing_says_which(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(InputError) as caught:
        Blobs(tmp_path, "s3://secret-bucket/images")
    assert caught.value.code == "bad-blobs"
    assert "Install s3fs" in caught.value.fix
    assert "secret-bucket" not in str(caught.value)


def test_what_another_process_has_put_is_seen(tmp_path):
    """Listings are not remembered: a long-lived server must see what a worker puts there."""
    assert Blobs(tmp_path, f"memory://{tmp_path.name}/both")._fs.dircache.use_listings_cache is False
