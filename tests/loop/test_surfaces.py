"""Each verb answers alike from flags, from JSON and from Python."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

import medloop
from medloop import registry
from medloop.cli import main
from medloop.cli.flags import POSITIONAL, parse
from medloop.errors import InputError
from medloop.requests import VERBS
from medloop.wire import from_json, to_json
from medloop.workspace import Workspace

_VALUES = {str: "x", int: 3, float: 0.5, bool: True}


@pytest.mark.parametrize("verb", VERBS)
def test_flags_and_json_make_the_same_request(verb: str) -> None:
    kind = VERBS[verb][1]
    content: dict[str, object] = {}
    words = []
    for item in dataclasses.fields(kind):
        plain = str(item.type).split(" | ")[0]
        value = next(value for type_, value in _VALUES.items() if type_.__name__ == plain)
        content[item.name.rstrip("_")] = value
        if item.name not in POSITIONAL.get(verb, ()):
            words += [f"--{item.name.rstrip('_').replace('_', '-')}", *([] if value is True else [str(value)])]
    words = [*(str(content[name]) for name in POSITIONAL.get(verb, ())), *words]
    request, workspace, as_json = parse(verb, kind, [*words, "--workspace", "w", "--json"])
    assert request == from_json(kind, content)
    assert (workspace, as_json) == ("w", True)


def _settled(result: dict) -> dict:
    """Without what differs from call to call: times, memory, counts of looks, names of folders."""
    passing = {"seconds", "timings", "peak_private_mb", "looks", "run", "model", "report", "ladder", "warnings"}
    return {key: value for key, value in result.items() if key not in passing}


def test_inspect_answers_alike_three_ways(pngs, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["inspect", *pngs.words, "--json", "--workspace", str(tmp_path / "a")]) == 0
    by_flags = json.loads(capsys.readouterr().out)
    by_python = to_json(medloop.inspect(pngs.src, workspace=tmp_path / "b", **pngs.options))
    request = from_json(VERBS["inspect"][1], {"src": str(pngs.src), **pngs.options})
    by_json = to_json(registry.verb("inspect")(Workspace(tmp_path / "c"), request))
    assert _settled(by_flags) == _settled(by_python) == _settled(by_json)


def test_learn_predict_and_the_rest_answer_alike_from_python(
    pngs, plain: Path, in_brief, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = medloop.learn(pngs.src, workspace=tmp_path / "w", recipe=plain, budget="8m", **pngs.options)
    recipe = Path(first.run) / "recipe.toml"
    second = medloop.learn(pngs.src, workspace=tmp_path / "w", budget="8m", recipe=recipe, **pngs.options)
    capsys.readouterr()
    words = ["learn", *pngs.words, "--budget", "8m", "--recipe", str(recipe), "--json", "--workspace", str(tmp_path / "w")]
    assert main(words) == 0
    assert _settled(json.loads(capsys.readouterr().out)) == _settled(to_json(second))

    by_python = medloop.predict(first.model, pngs.src, workspace=tmp_path / "w", out=tmp_path / "a.csv")
    capsys.readouterr()
    assert main(["predict", first.model, str(pngs.src), "--out", str(tmp_path / "b.csv"), "--workspace", str(tmp_path / "w")]) == 0
    assert (tmp_path / "a.csv").read_text() == (tmp_path / "b.csv").read_text()
    assert by_python.cases == pngs.cases
    assert medloop.compare(first.run, second.run, workspace=tmp_path / "w").cases > 0
    assert medloop.export(first.run, workspace=tmp_path / "w", out=tmp_path / "e").files


def test_python_refuses_an_unknown_keyword_by_name(pngs) -> None:
    with pytest.raises(InputError, match="budgt"):
        medloop.learn(pngs.src, budgt="5m")
