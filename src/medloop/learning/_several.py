"""A training in several processes of this machine that share each batch (distributed data parallel), one GPU each or on the CPU.

Lightning Fabric starts the processes and joins their gradients. What the first one tells comes through a queue; its result comes
through a folder, as a checkpoint would.
"""

from __future__ import annotations

import copy
import dataclasses
import math
import multiprocessing
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric
from torch.multiprocessing.spawn import ProcessRaisedException

from medloop.errors import InputError, MedloopError
from medloop.learning import checkpoints
from medloop.learning._loop import Loop
from medloop.learning.checkpoints import Checkpoint
from medloop.learning.devices import Place
from medloop.learning.lesson import Lesson, Trained
from medloop.learning.plan import Plan
from medloop.progress import AbstractTask, Progress

_PORT = "MASTER_PORT"


def train(lesson: Lesson, place: Place) -> Trained:
    """Learn in ``place.processes`` processes; the lesson's network is given the result. Raises what they raise."""
    _check(lesson, place.processes)
    queue: Any = multiprocessing.get_context("spawn").SimpleQueue()
    left_s = lesson.deadline - lesson.clock()
    errors: list[MedloopError] = []
    ear = threading.Thread(target=_listen, args=(queue, lesson.tell, errors), daemon=True)
    ear.start()
    with tempfile.TemporaryDirectory() as folder, _own_port():
        sent = dataclasses.replace(lesson, tell=Teller(queue), clock=time.monotonic, deadline=time.monotonic() + left_s)
        try:
            place.fabric().launch(partial(_process, sent, Path(folder)))
        except ProcessRaisedException as error:
            queue.put(None)
            ear.join()
            raise (errors[0] if errors else error) from None
        queue.put(None)
        ear.join()
        found = checkpoints.load(Path(folder))
    if found is None:
        raise RuntimeError("the first process left no result")
    lesson.net.load_state_dict(found.best)
    lesson.net.eval()
    said = found.said
    plan = Plan.from_json(said["plan"])
    return Trained(
        found.best, said["history"], said["best_epoch"], said["stopped"], said["where"], plan, said["batch"], said["seconds"]
    )


def _check(lesson: Lesson, processes: int) -> None:
    """No process goes without a case in any step."""
    n = len(lesson.train)
    if n // max(1, math.ceil(n / lesson.plan.batch)) < processes:
        raise InputError(
            "too-many-processes",
            got=f"{processes} processes would share batches of {lesson.plan.batch} out of {n} cases.",
            allowed="A case or more for each process in every batch.",
            fix="Use fewer processes or larger batches.",
        )


def _process(lesson: Lesson, folder: Path, fabric: Fabric) -> None:
    """What each process does. The network has come in memory that all of them share, so each takes a copy."""
    first = fabric.is_global_zero
    net, loss, told = copy.deepcopy((lesson.net, lesson.loss, lesson.told))  # at once, for loss and told may belong to the network
    own = dataclasses.replace(lesson, net=net, loss=loss, told=told, tell=lesson.tell if first else Teller(None))
    try:
        trained = Loop(own, fabric).run()
    except MedloopError as error:
        lesson.tell.queue.put(("error", error))  # type: ignore[attr-defined]
        raise
    if first:
        said = {name: getattr(trained, name) for name in ("history", "best_epoch", "stopped", "where", "batch", "seconds")}
        checkpoints.save(folder, Checkpoint(0, {**said, "plan": trained.plan.to_json()}, best=trained.state))


class Teller:
    """Progress that is told in another process."""

    def __init__(self, queue: Any) -> None:
        self.queue = queue

    def say(self, text: str) -> None:
        """One plain sentence."""
        self._put("say", text)

    def task(self, label: str, total: int | None = None) -> AbstractTask:
        """A task whose ticks are passed on."""
        return self._task(label, total)  # type: ignore[return-value]

    @contextmanager
    def _task(self, label: str, total: int | None) -> Iterator[Any]:
        self._put("task", label, total)
        yield lambda done=1, note="": self._put("tick", done, note)
        self._put("end")

    def _put(self, *what: Any) -> None:
        if self.queue is not None:
            self.queue.put(what)


def _listen(queue: Any, tell: Progress, errors: list[MedloopError]) -> None:
    """Tell here what is told there, until None comes."""
    with ExitStack() as task:
        tick: Any = None
        while (what := queue.get()) is not None:
            match what:
                case ("say", text):
                    tell.say(text)
                case ("task", label, total):
                    tick = task.enter_context(tell.task(label, total))
                case ("tick", done, note):
                    tick(done, note)
                case ("end",):
                    task.close()
                case ("error", error):
                    errors.append(error)


@contextmanager
def _own_port() -> Iterator[None]:
    """The launcher leaves the port of its processes in the environment, where the next one would find it in use."""
    before = os.environ.pop(_PORT, None)
    try:
        yield
    finally:
        os.environ.pop(_PORT, None)
        if before is not None:
            os.environ[_PORT] = before
