"""A split given as text files that list the cases: ``--split-lists train.txt,val.txt``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from medloop.errors import InputError
from medloop.labels._labelled import Labelled, problem
from medloop.labels._matching import Matcher
from medloop.labels._sheet import decoded
from medloop.labels._words import split_in
from medloop.types import Json, Split


def apply(labelled: Labelled, lists: Sequence[str]) -> Labelled:
    """The same cases with the split that the lists give; cases in no list get none. Raises `InputError` for a list that cannot be
    used.
    """
    matcher = Matcher([case.images[0] for case in labelled.cases])
    given: dict[int, Split] = {}
    problems: list[dict[str, Json]] = []
    for name in lists:
        path = Path(name).expanduser()
        split = split_in(path.stem)
        if split is None:
            raise _wrong(f"The name of {path.name} does not say which split it lists.")
        for number, line in enumerate(_lines(path), 1):
            match = matcher.find(line)
            if not line:
                continue
            if not match.found or match.ambiguous:
                told = "no labelled image has this name" if not match.found else f"{len(match.found)} images have this name"
                problems.append(problem(number, line, f"{told} ({path.name})"))
                continue
            for position in match.found:
                if given.setdefault(position, split) is not split:
                    raise _wrong(f"'{line}' is listed both for {given[position]} and for {split}.")
    if not given:
        raise _wrong("No line of the split lists names a labelled image.")
    cases = tuple(replace(case, given_split=given.get(position)) for position, case in enumerate(labelled.cases))
    layout = f"{labelled.layout} The split is the one listed in {', '.join(Path(name).name for name in lists)}."
    return replace(labelled, cases=cases, layout=layout, problems=[*labelled.problems, *problems])


def _lines(path: Path) -> list[str]:
    try:
        text, _ = decoded(path.read_bytes())
    except OSError as error:
        raise _wrong(f"{path} cannot be read: {error.strerror}.") from error
    return [line.split("#")[0].strip() if line.startswith("#") else line.strip() for line in text.splitlines()]


def _wrong(got: str) -> InputError:
    return InputError(
        "bad-split-lists",
        got=got,
        allowed="Text files named after their split, with the name of one case in each line.",
        fix="Write --split-lists train.txt,val.txt,test.txt.",
    )
