"""A small thing to learn, for tests and the processes they start: is the square bright?"""

import dataclasses
import os
import signal
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from medloop.learning.fitting import train
from medloop.learning.lesson import Cases, Lesson
from medloop.learning.plan import Plan

PLAN = Plan(epochs=3, batch=16, rate=0.01, head_rate=2.0, precision="32", average="ema")


class Net(nn.Module):
    """Three blocks, with batch norm and dropout. ``room``: more images at once raise an error as a full memory does."""

    def __init__(self, room=10**6, dropout=0.2):
        super().__init__()
        self.room = room
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            self.stem, self.norm = nn.Conv2d(1, 8, 3, stride=2), nn.BatchNorm2d(8)
            self.deep = nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=8)
            self.drop, self.head = nn.Dropout(dropout), nn.Linear(8, 2)

    def forward(self, pixels):
        if len(pixels) > self.room:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")
        x = torch.relu(self.norm(self.stem(pixels.float() / 255)))
        return self.head(self.drop(torch.relu(self.deep(x)).mean((2, 3))))

    def blocks(self):
        return [[*self.stem.parameters(), *self.norm.parameters()], [*self.deep.parameters()], [*self.head.parameters()]]


@dataclasses.dataclass
class Memory:
    """Images that lie in memory."""

    pixels: np.ndarray

    def take(self, indices):
        return self.pixels[indices]


def pixels_and_values(n=80):
    draws = np.random.default_rng(0)
    values = draws.integers(0, 2, n)
    pixels = draws.integers(0, 120, (n, 1, 1, 12, 12)).astype(np.uint8)
    pixels[values == 1, :, :, 3:9, 3:9] += 60
    return pixels, values


def cross_entropy(outputs, targets, weights):
    each = nn.functional.cross_entropy(outputs, targets, reduction="none")
    return each.mean() if weights is None else (each * weights).sum() / weights.sum()


def accuracy(outputs, targets):
    return float((outputs.argmax(1) == targets).mean())


def noisy(pixels, targets, epoch, first):
    """Noise from the epoch and each case's place in it."""
    noise = [np.random.default_rng([epoch, first + k]).normal(0, 9, pixels.shape[1:]) for k in range(len(pixels))]
    return pixels + torch.from_numpy(np.stack(noise)).float(), targets


def lesson(**changes):
    """All of it; ``images`` replaces where the pixels come from."""
    pixels, values = pixels_and_values()
    images = changes.pop("images", Memory(pixels))
    given = {
        "net": Net(),
        "loss": cross_entropy,
        "train": Cases(images=images, rows=np.arange(60), targets=values[:60]),
        "validation": Cases(images=images, rows=np.arange(60, 80), targets=values[60:]),
        "plan": PLAN,
        "score": accuracy,
        "augment": noisy,
        "device": "cpu",
    }
    return Lesson(**(given | changes))


def die(pixels, targets, epoch, first):
    """As `noisy`, but the process is killed in the middle of the second epoch."""
    if epoch == 2 and first >= 30:
        os.kill(os.getpid(), signal.SIGKILL)
    return noisy(pixels, targets, epoch, first)


def learn_and_die(folder, threads=1, **changes):
    """For a process of its own, with as many threads as the tests have."""
    torch.set_num_threads(threads)
    train(lesson(folder=folder, augment=die, **changes))


class Ear:
    """Remembers what is told."""

    def __init__(self):
        self.said, self.notes, self.done, self.total = [], [], 0, 0

    def say(self, text):
        self.said.append(text)

    @contextmanager
    def task(self, label, total=None):
        self.total = total

        def tick(done=1, note=""):
            self.done += done
            self.notes.append(note)

        yield tick


def same(one, other):
    """Whether two states are equal to the last bit."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
