"""The training loop.

    train(lesson: Lesson) -> Trained

    Lesson(net=, loss=, train=Cases(images=, rows=, targets=, weights=None), plan=Plan(...), validation=None, seed=0, seen=0,
           score=None, augment=None, order=None, about=None, device="auto", folder=None, deadline=inf, clock=, tell=,
           label="training")
    Trained(state, history, best_epoch, stopped, where, plan, batch, seconds)

`Lesson` and `Trained` are in `medloop.learning.lesson`, the numbers that steer it in `medloop.learning.plan`. On a CPU the same
lesson gives the same weights to the last bit, also when it was killed and started again: every epoch's order, augmentation and
dropout come from the seed, the epoch and the step, never from the state of a global generator.

Lightning Fabric places network and batches, casts to bfloat16 where the processor has it, and joins gradients of several
processes. The next batch is fetched while the current one is learnt from; two of them are in memory at any time.
"""

from __future__ import annotations

import torch

from medloop.learning import _several, devices
from medloop.learning._loop import Loop
from medloop.learning.lesson import Lesson, Trained


def train(lesson: Lesson) -> Trained:
    """Learn. Raises `InputError` for a device that is absent and where even two images at once are too many for memory."""
    place = devices.place(lesson.device, lesson.plan.precision)
    if place.processes > 1:
        return _several.train(lesson, place)
    with torch.random.fork_rng(devices=[place.first] if place.kind == "cuda" else []):
        return Loop(lesson, place.fabric()).run()
