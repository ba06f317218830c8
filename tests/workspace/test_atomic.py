import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from medloop.errors import InputError
from medloop.workspace import Workspace, write_folder, write_json, write_text
from medloop.workspace.atomic import explained


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(InputError) as caught:
        write_json(path, {"a": 2})
    assert caught.value.code == "disk-full"
    assert '"a": 1' in path.read_text()
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    def half() -> None:
        with write_folder(tmp_path / "run") as folder:
            (folder / "one").write_text("1")
            raise ValueError("half")

    with pytest.raises(ValueError, match="half"):
        half()
    assert list(tmp_path.iterdir()) == []
    with write_folder(tmp_path / "run") as folder:
        (folder / "one").write_text("1")
    assert (tmp_path / "run" / "one").read_text() == "1"


def test_killed_while_writing_nothing_half_is_seen(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from medloop.workspace import write_text\n"
        "i = 0\nwhile True:\n    i += 1; write_text(Path(sys.argv[1]), str(i % 10) * 2_000_000)\n"
    )
    target = tmp_path / "big.txt"
    for _ in range(3):
        process = subprocess.Popen([sys.executable, "-c", script, str(target)])
        while not target.exists():
            time.sleep(0.01)
        time.sleep(0.05)
        process.kill()
        process.wait()
        text = target.read_text()
        assert len(text) == 2_000_000
        assert len(set(text)) == 1


@pytest.mark.skipif(os.geteuid() == 0 and not Path("/proc").exists(), reason="needs a place that cannot be written")
def test_a_place_that_cannot_be_written_is_explained() -> None:
    with pytest.raises(InputError) as caught, explained(Path("/x")):
        raise OSError(errno.EROFS, "Read-only file system")
    assert caught.value.code == "not-writable"
    assert "--workspace" in caught.value.fix


def test_a_workspace_under_a_file_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError):
        Workspace(tmp_path / "file" / "work").ready()


def test_fresh_names_do_not_collide(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    first = workspace.fresh("runs", "a")
    first.mkdir(parents=True)
    second = workspace.fresh("runs", "a")
    assert second != first
    write_text(second / "x", "")
