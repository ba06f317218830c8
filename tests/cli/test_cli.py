import json
import subprocess
import sys

import pytest

from medloop.cli import main
from medloop.requests import VERBS


def test_help_names_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    said = capsys.readouterr().out
    assert all(verb in said for verb in VERBS)


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys; from medloop.cli import main; main(['--help']);"
        "heavy = {'cv2', 'sklearn', 'pydicom', 'pandas', 'scipy', 'tyro', 'rich', 'pydantic'} & set(sys.modules);"
        "print(heavy, file=sys.stderr)"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert said.stderr.strip() == "set()"


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_every_flag(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "--help"]) == 0
    said = capsys.readouterr().out
    assert "--workspace" in said
    assert "--json" in said


def test_a_misspelt_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lern"]) == 2
    assert "Did you mean learn" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["learn", "x", "--bugdet", "3"], "--budget"),
        (["learn"], "SRC"),
        (["learn", "x", "--folds", "many"], "--folds cannot be 'many'"),
        (["evaluate", "m"], "SRC"),
        (["--json"], "begins with"),
    ],
)
def test_wrong_flags_are_explained_in_json_and_in_words(words: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    error = capsys.readouterr()
    assert says in error.err + error.out
    assert "Traceback" not in error.err
    assert main([*words, "--json"]) == 2
    said = json.loads(capsys.readouterr().out)["error"]
    assert set(said) == {"code", "got", "allowed", "fix"}
    assert says in f"{said['got']} {said['fix']}"


def test_a_missing_source_is_an_error_of_the_input(tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(tmp_path / "nowhere"), "--workspace", str(tmp_path / "w")]) == 2
    said = capsys.readouterr().err
    assert "nowhere" in said
    assert "to mend" in said


def test_a_defect_of_ours_shows_no_traceback_and_keeps_the_details(tmp_path, monkeypatch, capsys) -> None:
    from medloop.loop import doctor

    def broken(*_: object) -> None:
        raise RuntimeError("secret details")

    monkeypatch.setattr(doctor, "doctor", broken)
    (tmp_path / "w").mkdir()
    assert main(["doctor", "--workspace", str(tmp_path / "w")]) == 1
    said = capsys.readouterr()
    assert "Traceback" not in said.err + said.out
    assert "secret details" not in said.err + said.out
    (kept,) = (tmp_path / "w").glob("medloop-defect-*.txt")
    assert "secret details" in kept.read_text()


def test_doctor_finds_a_missing_library(monkeypatch, tmp_path, capsys) -> None:
    from medloop.loop import doctor

    monkeypatch.setattr(doctor, "versions", lambda: {"python": "3", "numpy": "2", "surely-not-installed": "missing"})
    assert main(["doctor", "--json", "--workspace", str(tmp_path)]) == 0
    said = json.loads(capsys.readouterr().out)
    assert not said["healthy"]
    assert any("surely-not-installed" in check["says"] for check in said["checks"])
