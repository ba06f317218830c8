"""Recipes travel as TOML and JSON, and what is wrong in one is said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medloop import prep, recipes, registry
from medloop.errors import InputError
from medloop.types import Recipe, Step

KEYS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
VALUES = st.recursive(
    st.booleans() | st.integers(-(2**62), 2**62) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
STEPS = st.builds(
    Step, st.sampled_from(registry.names("prep")), st.dictionaries(KEYS.filter(lambda key: key != "step"), VALUES, max_size=3)
)
FAMILY = registry.names("families")[0] if registry.names("families") else "classical"
RECIPES = st.builds(
    Recipe,
    name=KEYS,
    family=st.just(FAMILY),
    preparation=st.lists(STEPS, max_size=4).map(tuple),
    parameters=st.dictionaries(KEYS, VALUES, max_size=5),
    seed=st.integers(0, 2**32 - 1),
)


@settings(max_examples=80, deadline=None)
@given(recipe=RECIPES)
def test_a_recipe_comes_back_equal(recipe: Recipe) -> None:
    assert recipes.from_toml(recipes.to_toml(recipe)) == recipe
    assert recipes.from_json(json.loads(json.dumps(recipes.to_json(recipe)))) == recipe


def test_none_is_left_out_and_tuples_are_lists() -> None:
    recipe = Recipe("r", FAMILY, (Step("resample", {"spacing_mm": (1.0, 1.0, 1.0), "size": None}),), {"a": None, "b": {"c": None}})
    back = recipes.from_toml(recipes.to_toml(recipe))
    assert back.preparation == (Step("resample", {"spacing_mm": [1.0, 1.0, 1.0]}),)
    assert back.parameters == {"b": {}}
    assert prep.checked(back.preparation) == prep.checked(recipe.preparation)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name = ", "not TOML"),
        ("name = 'a'", "has no family"),
        (f"name = 'a'\nfamily = '{FAMILY}'\nsede = 3", "Did you mean seed"),
        ("name = 'a'\nfamily = 'clasical'", "no family named 'clasical'"),
        (f"name = 'a'\nfamily = '{FAMILY}'\nseed = -1", "seed = -1"),
        (f"name = 'a'\nfamily = '{FAMILY}'\nseed = true", "seed = True"),
        (f"name = 'a'\nfamily = '{FAMILY}'\nparameters = 3", "parameters that is no table"),
        (f"name = 'a'\nfamily = '{FAMILY}'\npreparation = 'crop'", "preparation = 'crop'"),
        (f"name = 'a'\nfamily = '{FAMILY}'\n[[preparation]]\nsize = [1]", "without its name"),
        (f"name = 'a'\nfamily = '{FAMILY}'\n[[preparation]]\nstep = 'corp'", "Did you mean crop"),
    ],
)
def test_what_is_wrong_is_said(text: str, says: str) -> None:
    with pytest.raises(InputError) as wrong:
        recipes.from_toml(text)
    assert says in f"{wrong.value.got} {wrong.value.fix}"


def test_names_files_and_misspelt_names(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(recipes.to_toml(recipes.load("lung-ct")), encoding="utf-8")
    assert recipes.load(str(path)) == recipes.load("lung-ct")
    other = tmp_path / "mine.json"
    other.write_text(json.dumps(recipes.to_json(recipes.load("lung-ct"))), encoding="utf-8")
    assert recipes.load(str(other)) == recipes.load("lung-ct")
    with pytest.raises(InputError, match="no recipe named 'lung-tc'") as wrong:
        recipes.load("lung-tc")
    assert "lung-ct" in wrong.value.fix
    with pytest.raises(InputError, match="cannot be read"):
        recipes.load(str(tmp_path / "none.toml"))
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="UTF-8"):
        recipes.load(str(path))


@pytest.mark.parametrize("name", recipes.names())
def test_every_named_recipe_loads_and_its_steps_are_right(name: str) -> None:
    recipe = recipes.load(name)
    assert recipe.name == name
    prep.checked(recipe.preparation)
    assert recipes.from_toml(recipes.to_toml(recipe)) == recipe
