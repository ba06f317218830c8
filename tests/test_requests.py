import pytest

from medloop.errors import InputError
from medloop.requests import listed, seconds_of


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("90s", 90), ("10m", 600), ("1h30m", 5400), ("0.5m", 30), (" 2M ", 120)])
def test_lengths_of_time(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "-5m", "0", "0m", "5 minutes", "m5", "1d", "nan", "inf"])
def test_what_is_no_length_of_time_is_refused_with_examples(text: str) -> None:
    with pytest.raises(InputError) as caught:
        seconds_of(text)
    assert "10m" in caught.value.allowed


def test_lists_of_a_flag() -> None:
    assert listed(" a, b ,,c") == ("a", "b", "c")
    assert listed(None) == ()
