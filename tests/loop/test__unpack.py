"""Archives from outside: what is good comes out whole, what is not never leaves the folder."""

from __future__ import annotations

import io
import stat
import zipfile
from pathlib import Path

import pytest

from medloop.errors import Unreadable
from medloop.loop import _unpack
from medloop.loop._unpack import Limits, is_archive, unpack


def archive(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for name, content in files.items():
            out.writestr(name, content)
    return path


def inside(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_files_come_out_as_they_were(tmp_path: Path) -> None:
    zipped = archive(tmp_path / "a.zip", {"one/a.png": b"a" * 5000, "b.dcm": b"", "folder/": b""})
    assert is_archive(zipped)
    assert unpack(zipped, tmp_path / "out") == []
    assert inside(tmp_path / "out") == {"one/a.png", "b.dcm"}
    assert (tmp_path / "out/one/a.png").read_bytes() == b"a" * 5000


@pytest.mark.parametrize("name", ["../evil.png", "/evil.png", "a/../../evil.png", "C:\\evil.png", "..\\evil.png", "C:evil.png"])
def test_names_that_lead_elsewhere_stay_out(name: str, tmp_path: Path) -> None:
    zipped = archive(tmp_path / "a.zip", {name: b"x", "good.png": b"y"})
    rejected = unpack(zipped, tmp_path / "in" / "out")
    assert [each.reason for each in rejected] == ["its name leads out of the archive"]
    assert inside(tmp_path) == {"a.zip", "in/out/good.png"}


def test_the_check_of_names_is_what_holds_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_unpack, "_why_not", lambda entry, name: "")
    unpack(archive(tmp_path / "a.zip", {"../evil.png": b"x"}), tmp_path / "in" / "out")
    assert (tmp_path / "in" / "evil.png").exists()


def test_links_and_passwords_stay_out(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("passwd")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as out:
        out.writestr(link, "/etc/passwd")
        out.writestr("x" * 300, "y")
    assert {each.reason.split(";")[0] for each in unpack(tmp_path / "a.zip", tmp_path / "out")} == {
        "a link, not a file",
        "its name is too long or has unprintable letters",
    }
    assert inside(tmp_path / "out") == set()
    locked = bytearray(archive(tmp_path / "b.zip", {"a.png": b"x"}).read_bytes())
    for sign, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        locked[locked.index(sign) + offset] |= 1
    (tmp_path / "b.zip").write_bytes(locked)
    assert "password" in unpack(tmp_path / "b.zip", tmp_path / "out2")[0].reason


def test_one_name_twice_is_taken_once(tmp_path: Path) -> None:
    zipped = archive(tmp_path / "a.zip", {"a.png": b"1", "A.PNG": b"2"})
    assert [each.path for each in unpack(zipped, tmp_path / "out")] == ["A.PNG"]
    clash = archive(tmp_path / "b.zip", {"a": b"1", "a/b": b"2"})
    with pytest.raises(Unreadable, match="both a file and a folder"):
        unpack(clash, tmp_path / "out2")


SMALL = Limits(bytes=3_000_000, ratio=50, easy_bytes=100_000, files=20)


@pytest.mark.parametrize(
    "files",
    [
        {"bomb.png": bytes(2_000_000)},
        {f"{number}.png": bytes(400_000) for number in range(9)},
        {f"{number}.png": b"x" for number in range(21)},
    ],
    ids=["ratio", "total", "files"],
)
def test_bombs_are_not_unpacked(files: dict[str, bytes], tmp_path: Path) -> None:
    zipped = archive(tmp_path / "a.zip", files)
    with pytest.raises(Unreadable, match="archive"):
        unpack(zipped, tmp_path / "out", SMALL)
    assert sum(path.stat().st_size for path in tmp_path.rglob("*.png")) <= SMALL.bytes
    unpack(zipped, tmp_path / "again")


def test_sizes_that_an_archive_tells_are_not_believed(tmp_path: Path) -> None:
    content = bytearray(archive(tmp_path / "a.zip", {"a.png": bytes(2_000_000)}).read_bytes())
    for sign, offset in ((b"PK\3\4", 22), (b"PK\1\2", 24)):
        at = content.index(sign) + offset
        content[at : at + 4] = (10).to_bytes(4, "little")
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(Unreadable):
        unpack(tmp_path / "a.zip", tmp_path / "out", SMALL)
    assert sum(path.stat().st_size for path in tmp_path.rglob("*.png")) < 1_100_000


def test_what_is_no_archive(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"PK\3\4 but no more")
    with pytest.raises(Unreadable, match="broken"):
        unpack(tmp_path / "a.zip", tmp_path / "out")
    (tmp_path / "a.png").write_bytes(b"\x89PNG")
    assert not is_archive(tmp_path / "a.png")
    assert not is_archive(tmp_path)
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as out:
        out.writestr("train_images.npy", b"x")
    (tmp_path / "a.npz").write_bytes(held.getvalue())
    assert not is_archive(tmp_path / "a.npz")


def test_an_archive_in_an_archive_is_a_file_like_others(tmp_path: Path) -> None:
    inner = archive(tmp_path / "i.zip", {"../x.png": b"x"}).read_bytes()
    assert unpack(archive(tmp_path / "a.zip", {"i.zip": inner}), tmp_path / "out") == []
    assert inside(tmp_path / "out") == {"i.zip"}
