"""Jobs on runs of images, some of which may kill the process that reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from medloop.compute import Compute, Died
from medloop.progress import Progress

J = TypeVar("J")
R = TypeVar("R")


def carefully(
    function: Callable[[J], R],
    runs: Sequence[list[int]],
    job_of: Callable[[list[int]], J],
    compute: Compute,
    label: str,
    tell: Progress,
) -> Iterator[tuple[list[int], R | Died]]:
    """``(run, function(job_of(run)))`` for each run of positions.

    Images of a job whose process died are tried again one by one, each in a process that may die.
    """
    again: list[int] = []
    with tell.task(label, sum(map(len, runs))) as tick:
        for run, answer in zip(runs, compute.map(function, map(job_of, runs)), strict=True):
            tick(len(run))
            if isinstance(answer, Died):
                again += run
            else:
                yield run, answer
    if again:
        with Compute(max(1, compute.workers), few=0) as careful:
            single = (job_of([at]) for at in again)
            answers = careful.map(function, single, label="Trying again one by one", total=len(again), tell=tell)
            for at, last in zip(again, answers, strict=True):
                yield [at], last
