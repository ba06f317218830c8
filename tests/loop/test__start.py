"""Where learning starts: seeds, devices, and the model whose network is taken up."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from medloop import recipes
from medloop.errors import InputError
from medloop.loop import _start
from medloop.requests import LearnRequest
from medloop.types import Recipe
from medloop.workspace import Workspace


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "net.safetensors"
    path.write_bytes(b"weights of a network")
    return path


def refusal(home: Workspace, **asked: object) -> InputError:
    with pytest.raises(InputError) as caught:
        _start.recipe_of(home, LearnRequest(src="x", **asked))  # type: ignore[arg-type]
    return caught.value


def test_without_a_recipe_the_ladder_is_climbed(home: Workspace) -> None:
    recipe = _start.recipe_of(home, LearnRequest(src="x", seed=3))
    assert (recipe.name, recipe.family, recipe.seed) == ("ladder", "ladder", 3)
    assert "ladder" in recipes.names()


def test_a_start_is_stamped_and_known_again(home: Workspace, weights: Path, tmp_path: Path) -> None:
    recipe = _start.recipe_of(home, LearnRequest(src="x", from_=str(weights)))
    assert recipe.parameters["from"] == str(weights.absolute())
    members = [{"family": "transfer", "parameters": {"how": "whole", "from": str(weights)}}]
    executed = _start.stamped(Recipe("r", "ladder", parameters={"members": members}))
    inside = executed.parameters["members"][0]["parameters"]
    assert inside["from_digest"] == _start.digest(weights)
    file = tmp_path / "recipe.toml"
    file.write_text(recipes.to_toml(executed))
    again = _start.recipe_of(home, LearnRequest(src="x", recipe=str(file)))
    assert again.parameters["members"][0]["parameters"] == {"how": "whole", "from": str(weights)}


def test_another_file_of_the_same_name_is_refused(home: Workspace, weights: Path, tmp_path: Path) -> None:
    executed = _start.stamped(Recipe("r", "transfer", parameters={"from": str(weights)}))
    (tmp_path / "recipe.toml").write_text(recipes.to_toml(executed))
    weights.write_bytes(b"weights of another network")
    assert refusal(home, recipe=str(tmp_path / "recipe.toml")).code == "other-start"
    asked = LearnRequest(src="x", recipe=str(tmp_path / "recipe.toml"), from_=str(weights))
    assert _start.recipe_of(home, asked).parameters["from"] == str(weights), "asked for by name it is taken"


def test_the_digest_of_a_model_is_that_of_its_description(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text('{"sha256": "1"}')
    one = _start.digest(tmp_path)
    (tmp_path / "learnt-from.json").write_text("beside it")
    assert _start.digest(tmp_path) == one
    (tmp_path / "model.json").write_text('{"sha256": "2"}')
    assert _start.digest(tmp_path) != one


def test_what_has_no_network_takes_up_none(home: Workspace, weights: Path) -> None:
    error = refusal(home, recipe="classical", from_=str(weights))
    assert error.code == "no-start"
    assert "--recipe transfer" in error.fix


def test_a_start_that_is_not_there(home: Workspace) -> None:
    assert refusal(home, from_="nowhere").code == "unknown-run"


@pytest.mark.parametrize("device", ["gpu", "cuda:99"])
def test_a_device_that_is_not_there(home: Workspace, device: str) -> None:
    assert refusal(home, device=device).code in ("unknown-device", "no-such-gpu")


def test_a_recipe_s_own_seed_is_kept(home: Workspace, tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text(recipes.to_toml(dataclasses.replace(recipes.load("classical"), seed=7)))
    assert _start.recipe_of(home, LearnRequest(src="x", recipe=str(tmp_path / "r.toml"))).seed == 7
    assert _start.recipe_of(home, LearnRequest(src="x", recipe=str(tmp_path / "r.toml"), seed=2)).seed == 2
