import os
from pathlib import Path

import pytest

from medloop.store import looks


def test_looks_count_by_content_in_any_order() -> None:
    key = looks.content_key(["b", "a"])
    assert key == looks.content_key(["a", "b"]) != looks.content_key(["a"])
    assert looks.count(key) == 0
    assert looks.record(key, "learn") == 1
    assert looks.record(key, "evaluate") == 2
    assert looks.count(key) == 2
    assert looks.count(looks.content_key(["c"])) == 0


def test_where_nothing_can_be_written_counting_is_impossible_not_zero(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("")
    monkeypatch.setenv("XDG_DATA_HOME", str(blocker))
    assert looks.record("key", "learn") is None
    assert not os.path.exists(looks.looks_file())
