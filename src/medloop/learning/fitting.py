"""The training loop.

    train(lesson: Lesson) -> Trained

    Lesson(net=, loss=, train=Cases(images=, rows=, targets=, weights=None), plan=Plan(...), validation=None, seed=0, score=None,
           augment=None, order=None, about=None, device="auto", folder=None, deadline=inf, clock=, tell=, label="training")
    Trained(state, history, best_epoch, stopped, where, plan, batch, seconds)

`Lesson` and `Trained` are in `medloop.learning.lesson`, the numbers that steer it in `medloop.learning.plan`. On a CPU the same
lesson gives the same weights to the last bit, also when it was killed and started again: every epoch's order, augmentation and
dropout come from the seed, the epoch and the step, never from the state of a global generator.

Lightning Fabric places network and batches, casts to bfloat16 where the processor has it, and joins gradients of several
processes. The next batch is fetched while the current one is learnt from; two of them are in memory at any time.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor

from medloop.errors import InputError
from medloop.learning import checkpoints, devices, schedule
from medloop.learning.average import Average
from medloop.learning.checkpoints import Checkpoint
from medloop.learning.lesson import Cases, Lesson, Trained
from medloop.progress import Tick
from medloop.types import Array, Json

_LOOK_EVERY = 16
_WRITING_SHARE = 0.05
_LEAST_AT_ONCE = 2
_NO_MEMORY = ("not enough memory", "DefaultCPUAllocator", "out of memory")


def train(lesson: Lesson) -> Trained:
    """Learn. Raises `InputError` for a device that is absent and where even two images at once are too many for memory."""
    place = devices.place(lesson.device, lesson.plan.precision)
    with torch.random.fork_rng(devices=[place.first] if place.kind == "cuda" else []), devices.quiet():
        return Fitting(lesson, place.fabric()).run()


class _Ended(Exception):
    """Training ends within an epoch."""

    def __init__(self, why: str, where: str = "") -> None:
        super().__init__(why)
        self.why = why
        self.where = where


class Fitting:
    """A training under way, in one process of perhaps several."""

    def __init__(self, lesson: Lesson, fabric: Fabric) -> None:
        self.lesson, self.plan, self.fabric = lesson, lesson.plan, fabric
        self.folder = None if lesson.folder is None else lesson.folder / lesson.key()
        self.net: Any = fabric.to_device(lesson.net).to(memory_format=torch.channels_last)
        self.blocks = [list(block) for block in self.net.blocks()]
        self.optimiser: Any = fabric.setup_optimizers(schedule.optimiser(self.blocks, self.plan))
        self.average = Average(self.net, self.plan)
        self.best = checkpoints.plain(self.net.state_dict())
        self.best_epoch, self.best_score = 0, -math.inf
        self.history: list[dict[str, Json]] = []
        self.at_once = self.plan.at_once or self.plan.batch
        self.written = (-math.inf, 0.0)
        self.targets = torch.from_numpy(np.ascontiguousarray(lesson.train.targets)).to(fabric.device)
        weights = lesson.train.weights
        self.weights = None if weights is None else torch.from_numpy(np.ascontiguousarray(weights)).to(fabric.device)
        self.steps = max(1, math.ceil(len(self._order(1)) / self.plan.batch))
        self.module: Any = None
        self.frozen = -1
        self.ended: _Ended | None = None

    def run(self) -> Trained:
        """All epochs, from the last checkpoint on."""
        self._go_on()
        if self.ended is not None:
            return self._finish(self.ended.why, self.ended.where)
        left = self.plan.last - len(self.history)
        stopped, where = "done", ""
        with self.lesson.tell.task(self.lesson.label, max(0, left) * self.steps) as tick:
            try:
                for epoch in range(len(self.history) + 1, self.plan.last + 1):
                    self._worth_while()
                    self._epoch(epoch, tick)
            except _Ended as ended:
                stopped, where = ended.why, ended.where
        return self._finish(stopped, where)

    def _epoch(self, epoch: int, tick: Tick) -> None:
        """Train, evaluate, remember."""
        start = self.lesson.clock()
        count = schedule.frozen_in(epoch, len(self.blocks), self.plan)
        schedule.freeze(self.net, self.blocks, count, keep=self.plan.norms == "keep")
        if count != self.frozen:
            self.module, self.frozen = self.fabric.setup_module(self.net), count
        loss, images = self._steps(epoch, tick)
        seconds = self.lesson.clock() - start
        self.average.after_epoch(epoch)
        with self.average.in_place():
            validation_loss, score = self._evaluate(epoch)
            if self.best_epoch == 0 or self.lesson.validation is None or score > self.best_score:
                self.best, self.best_epoch, self.best_score = checkpoints.plain(self.net.state_dict()), epoch, score
        share = schedule.factor(epoch * self.steps - 1, self.plan.epochs * self.steps, self.plan)
        self.history.append(
            {
                "epoch": epoch,
                "loss": loss,
                "validation_loss": validation_loss,
                "score": score if math.isfinite(score) else None,
                "rate": self.plan.rate * share,
                "seconds": seconds,
                "images_per_second": images / max(seconds, 1e-9),
            }
        )
        self._keep(epoch)

    def _steps(self, epoch: int, tick: Tick) -> tuple[float, int]:
        """One epoch's steps: the mean loss, and how many images were learnt from."""
        order = self._order(epoch)
        cuts = np.linspace(0, len(order), self.steps + 1).round().astype(np.int64)
        losses = torch.zeros(self.steps, device=self.fabric.device)
        places = [np.arange(*self._mine(int(a), int(b))) for a, b in itertools.pairwise(cuts)]
        look_every = 1 if self.fabric.device.type == "cpu" else _LOOK_EVERY
        batches = _fetched(self.lesson.train, [order[each] for each in places])
        for step, (rows, pixels) in enumerate(batches):
            self._rates((epoch - 1) * self.steps + step)
            losses[step] = self._step(epoch, step, rows, pixels, int(places[step][0]))
            if (step + 1) % look_every == 0 or step + 1 == self.steps:
                self._look(epoch, step, losses)
                tick(min(look_every, step % look_every + 1), self._note(epoch, float(losses[: step + 1].mean())))
        sizes = torch.as_tensor(np.diff(cuts), device=losses.device)
        return float((self.fabric.all_reduce(losses) * sizes).sum() / sizes.sum()), len(order)

    def _step(self, epoch: int, step: int, rows: NDArray[np.int64], pixels: Tensor, first: int) -> Tensor:
        """One step of the optimiser; with half as many images at once, and again, where memory does not hold them."""
        while True:
            try:
                loss = self._gradients(epoch, step, rows, pixels, first)
                break
            except (RuntimeError, MemoryError) as error:
                if not _out_of_memory(error):
                    raise
                self._halve(len(rows), error)
            self.optimiser.zero_grad()
        if self.plan.clip > 0:
            self.fabric.clip_gradients(self.module, self.optimiser, max_norm=self.plan.clip, error_if_nonfinite=False)
        self.optimiser.step()
        self.optimiser.zero_grad()
        self.average.after_step()
        return loss

    def _gradients(self, epoch: int, step: int, rows: NDArray[np.int64], pixels: Tensor, first: int) -> Tensor:
        """Forward and backward, ``at_once`` images at a time. The loss of the batch, without a wait for the device."""
        total = torch.zeros((), device=self.fabric.device)
        parts = math.ceil(len(rows) / self.at_once)
        cuts = np.linspace(0, len(rows), parts + 1).round().astype(int)
        for part, (a, b) in enumerate(itertools.pairwise(cuts)):
            self._seed(epoch, step, part)
            places = torch.from_numpy(rows[a:b]).to(self.fabric.device)
            x, y = self.fabric.to_device(pixels[a:b]), self.targets[places]
            if self.lesson.augment is not None:
                x, y = self.lesson.augment(x, y, epoch, first + int(a))
            weights = None if self.weights is None else self.weights[places]
            with self.fabric.no_backward_sync(self.module, enabled=part + 1 < parts):
                loss = self.lesson.loss(self.module(_laid_out(x)), y, weights) * ((b - a) / len(rows))
                self.fabric.backward(loss)
            total += loss.detach()
        return total

    def _evaluate(self, epoch: int) -> tuple[float | None, float]:
        """Loss and score on the validation cases."""
        cases = self.lesson.validation
        if cases is None:
            return None, -math.inf
        outputs = self._outputs(cases)
        targets = torch.from_numpy(np.ascontiguousarray(cases.targets))
        weights = None if cases.weights is None else torch.from_numpy(np.ascontiguousarray(cases.weights))
        loss = float(self.lesson.loss(outputs, targets, weights))
        if not math.isfinite(loss) or not bool(torch.isfinite(outputs).all()):
            raise _Ended("nan", f"on the validation cases after epoch {epoch}")
        return loss, -loss if self.lesson.score is None else float(self.lesson.score(outputs.numpy(), cases.targets))

    def _outputs(self, cases: Cases) -> Tensor:
        """``(n, ...)`` float32 on the CPU."""
        self.net.eval()
        found = []
        with torch.inference_mode(), self.fabric.autocast():
            for a in range(0, len(cases), self.at_once):
                pixels = self.fabric.to_device(_tensor(cases.images.take(cases.rows[a : a + self.at_once])))
                found.append(self.net(_laid_out(pixels)).float().cpu())
        return torch.cat(found)

    def _look(self, epoch: int, step: int, losses: Tensor) -> None:
        """End where the loss is no number any more, or time is over."""
        wrong = torch.nonzero(~torch.isfinite(losses[: step + 1])).flatten()
        if len(wrong):
            rate = self.optimiser.param_groups[0]["lr"]
            raise _Ended("nan", f"in epoch {epoch}, batch {int(wrong[0]) + 1} of {self.steps}, at rate {rate:.2g}")
        if self.lesson.clock() > self.lesson.deadline:
            raise _Ended("deadline")

    def _worth_while(self) -> None:
        """No epoch is begun that would not end before the deadline, and none when patience is lost."""
        if self.lesson.validation is not None and 0 < self.plan.patience <= len(self.history) - self.best_epoch:
            raise _Ended("patience")
        expected = float(self.history[-1]["seconds"]) if self.history else 0.0
        if self.lesson.clock() + expected > self.lesson.deadline:
            raise _Ended("deadline")

    def _halve(self, batch: int, error: Exception) -> None:
        """Fewer images at once from now on."""
        used = min(self.at_once, batch)
        if used <= _LEAST_AT_ONCE:
            raise InputError(
                "out-of-memory",
                got=f"Memory does not hold {used} images of this size in this network: {error}",
                allowed="A network and images that memory holds.",
                fix="Choose a smaller network or smaller images, or train fewer layers.",
            ) from error
        self.at_once = max(_LEAST_AT_ONCE, used // 2)
        self.lesson.tell.say(
            f"Memory does not hold {used} images at once: {self.at_once} from now on, in steps of {batch} as before."
        )
        if self.fabric.device.type == "cuda":
            torch.cuda.empty_cache()

    def _rates(self, step: int) -> None:
        schedule.set_rates(self.optimiser, schedule.factor(step, self.plan.epochs * self.steps, self.plan))

    def _order(self, epoch: int) -> NDArray[np.int64]:
        """Positions within the training cases."""
        if self.lesson.order is not None:
            return np.asarray(self.lesson.order(epoch), np.int64)
        return np.random.default_rng([self.lesson.seed, epoch]).permutation(len(self.lesson.train))

    def _mine(self, a: int, b: int) -> tuple[int, int]:
        """This process's part of the places from ``a`` to ``b``."""
        rank, all_ = self.fabric.global_rank, self.fabric.world_size
        return a + (b - a) * rank // all_, a + (b - a) * (rank + 1) // all_

    def _seed(self, *where: int) -> None:
        """What dropout draws next depends on where in the training it is."""
        sequence = np.random.SeedSequence([self.lesson.seed, self.fabric.global_rank, *where])
        number = int(sequence.generate_state(1, np.uint64)[0] >> 1)
        torch.default_generator.manual_seed(number)
        if self.fabric.device.type == "cuda":
            torch.cuda.manual_seed(number)

    def _note(self, epoch: int, loss: float) -> str:
        """For the progress line."""
        note = f"epoch {epoch} of {self.plan.last}, loss {loss:.3f}"
        if self.history and self.history[-1]["validation_loss"] is not None:
            last = self.history[-1]
            note += f", validation {last['validation_loss']:.3f}"
            note += f", score {last['score']:.3f}" if self.lesson.score is not None and last["score"] is not None else ""
        return note

    def _keep(self, epoch: int) -> None:
        """Write a checkpoint, unless writing would take a good part of the time."""
        before, took = self.written
        start = self.lesson.clock()
        if self.folder is None or not self.fabric.is_global_zero or took > _WRITING_SHARE * (start - before):
            return
        remembered = checkpoints.optimiser_tensors(self.optimiser.optimizer)
        net = self.net.state_dict()
        checkpoints.save(self.folder, Checkpoint(epoch, self._said(), net, remembered, self.average.tensors, self.best))
        self.written = (self.lesson.clock(), self.lesson.clock() - start)

    def _keep_end(self, stopped: str, where: str) -> None:
        """Of a training that has ended only the result is kept."""
        if self.folder is not None and self.fabric.is_global_zero and self.ended is None:
            said = {**self._said(), "ended": [stopped, where]}
            checkpoints.save(self.folder, Checkpoint(len(self.history) + 1, said, best=self.best))

    def _said(self) -> dict[str, Json]:
        return {
            "history": self.history,
            "best_epoch": self.best_epoch,
            "best_score": self.best_score if math.isfinite(self.best_score) else None,
            "average_count": self.average.count,
            "at_once": self.at_once,
        }

    def _go_on(self) -> None:
        """Take up the last checkpoint of this very lesson, if there is one."""
        found = None if self.folder is None else checkpoints.load(self.folder)
        if found is None:
            return
        self.best, self.best_epoch = dict(found.best), int(found.said["best_epoch"])
        score = found.said["best_score"]
        self.best_score = -math.inf if score is None else float(score)
        self.history = [dict(row) for row in found.said["history"]]
        self.at_once = int(found.said["at_once"])
        if "ended" in found.said:
            self.ended = _Ended(*found.said["ended"])
            return
        self.net.load_state_dict(found.net)
        checkpoints.restore_optimiser(self.optimiser.optimizer, found.optimiser)
        self.average.restore(found.average, int(found.said["average_count"]))
        self.lesson.tell.say(f"Training goes on after epoch {found.epoch} of {self.plan.last}.")

    def _finish(self, stopped: str, where: str) -> Trained:
        """The best weights, and what is told of the rest."""
        if stopped == "nan":
            kept = (
                f"the weights after epoch {self.best_epoch} are kept" if self.best_epoch else "the weights are as they were before"
            )
            self.lesson.tell.say(f"The loss was no longer a number {where}: training ends, {kept}.")
        if stopped != "deadline":
            self._keep_end(stopped, where)
        self.net.to("cpu").to(memory_format=torch.contiguous_format)
        self.net.load_state_dict(self.best)
        self.net.eval()
        plan = dataclasses.replace(self.plan, at_once=self.at_once if self.at_once < self.plan.batch else 0)
        if stopped == "deadline":
            plan = dataclasses.replace(plan, stop_after=len(self.history))
        seconds = sum(float(row["seconds"]) for row in self.history)
        return Trained(self.best, self.history, self.best_epoch, stopped, where, plan, min(self.at_once, self.plan.batch), seconds)


def _fetched(cases: Cases, batches: list[NDArray[np.int64]]) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
    """Positions and inputs of each batch; the next is read while the caller works on this one."""
    with ThreadPoolExecutor(1, "fetch") as thread:
        coming = thread.submit(cases.images.take, cases.rows[batches[0]])
        for number, positions in enumerate(batches):
            pixels = _tensor(coming.result())
            if number + 1 < len(batches):
                coming = thread.submit(cases.images.take, cases.rows[batches[number + 1]])
            yield positions, pixels


def _tensor(taken: Array) -> Tensor:
    """Inputs as a tensor; volumes of one slice are pictures ``(n, C, Y, X)``."""
    found = torch.from_numpy(np.ascontiguousarray(taken))
    return found[:, :, 0] if found.ndim == 5 and found.shape[2] == 1 else found


def _laid_out(pixels: Tensor) -> Tensor:
    """Channels last, where there are channels: convolutions on CPUs and tensor cores are quicker."""
    return pixels.contiguous(memory_format=torch.channels_last) if pixels.ndim == 4 else pixels


def _out_of_memory(error: BaseException) -> bool:
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(each in str(error) for each in _NO_MEMORY)
