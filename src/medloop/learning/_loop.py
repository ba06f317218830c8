"""A training under way, in one process of perhaps several."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, TypeVar

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor

from medloop.errors import InputError
from medloop.learning import checkpoints, schedule
from medloop.learning._abreast import ABREAST, LEAST, Abreast, Draws, abreast, cut
from medloop.learning._batches import Batch, batches, evenly, inputs, laid_out, weights_laid_out
from medloop.learning._course import Course, Ended
from medloop.learning._depthwise import QuickDepthwise
from medloop.learning.average import Average
from medloop.learning.checkpoints import Checkpoint
from medloop.learning.lesson import Cases, Lesson, Trained
from medloop.learning.sampling import order
from medloop.progress import Tick
from medloop.types import Array

R = TypeVar("R")

_LOOK_EVERY = 16  # steps between two looks at a GPU's losses, for each look waits for it
_CPU_PIXELS = 400_000  # beyond, an EfficientNet's maps are so large that the system clears their memory anew each time
_PART_PIXELS = 250_000  # of each of the parts that go through abreast, for the same reason
_WORTH_PIXELS = 100_000  # with fewer in a batch threads wait for the interpreter
_WRITING_SHARE = 0.05
_NO_MEMORY = ("not enough memory", "DefaultCPUAllocator", "out of memory")


class Loop:
    """One training. Make it, then `run` it once."""

    def __init__(self, lesson: Lesson, fabric: Fabric) -> None:
        self.lesson, self.plan, self.fabric = lesson, lesson.plan, fabric
        self.folder = None if lesson.folder is None else lesson.folder / lesson.key()
        self.net: Any = weights_laid_out(fabric.to_device(lesson.net))
        self.blocks = [list(block) for block in self.net.blocks()]
        self.optimiser: Any = fabric.setup_optimizers(schedule.optimiser(self.blocks, self.plan))
        self.module: Any = None
        self.frozen = -1
        self.average = Average(self.net, self.plan)
        self.course = Course(checkpoints.plain(self.net.state_dict()))
        self.ended: Ended | None = None
        self.apart = self._apart()
        self.abreast: Abreast | None = None
        self.at_once = self._suits()
        self.written = (-math.inf, 0.0)
        self.targets, self.weights = self._there(lesson.train.targets), self._there(lesson.train.weights)
        self.steps = max(1, math.ceil(len(self._order(1)) / self.plan.batch))

    def run(self) -> Trained:
        """All epochs, from the last checkpoint on."""
        self._go_on()
        if self.ended is None:
            left = max(0, self.plan.last - self.course.done)
            with self.lesson.tell.task(self.lesson.label, left * self.steps) as tick, abreast(self.apart) as self.abreast:
                self.ended = self._epochs(tick)
            self._keep_end(self.ended)
        return self._result(self.ended)

    def _epochs(self, tick: Tick) -> Ended:
        """Epoch after epoch, and why they ended."""
        try:
            for epoch in range(self.course.done + 1, self.plan.last + 1):
                self._worth_while()
                self._epoch(epoch, tick)
                self._keep(epoch)
        except Ended as ended:
            return ended
        return Ended("done")

    def _epoch(self, epoch: int, tick: Tick) -> None:
        """Train, evaluate, remember."""
        start = self.lesson.clock()
        count = schedule.frozen_in(epoch, len(self.blocks), self.plan)
        schedule.freeze(self.net, self.blocks, count, keep=self.plan.norms == "keep")
        if count != self.frozen:  # processes agree once for all whose gradients they join
            self.module, self.frozen = self.fabric.setup_module(self.net), count
        order = self._order(epoch)
        loss = self._steps(epoch, order, tick)
        rate = len(order) / max(self.lesson.clock() - start, 1e-9)
        self.average.after_epoch(epoch)
        with self.average.in_place():
            validation_loss, score = self._evaluate(epoch)
            if self.course.scored(epoch, score) or self.lesson.validation is None or self.plan.kept == "last":
                self.course.best, self.course.best_epoch = checkpoints.plain(self.net.state_dict()), epoch
        row = {"epoch": epoch, "loss": loss, "validation_loss": validation_loss}
        told = self.lesson.score is not None and math.isfinite(score)
        row |= {"score": score if told else None, "rate": self.plan.rate * self._share(epoch * self.steps - 1)}
        row |= {} if self.lesson.told is None else self.lesson.told()
        self.course.history.append(row | {"seconds": self.lesson.clock() - start, "images_per_second": rate})

    def _steps(self, epoch: int, order: NDArray[np.int64], tick: Tick) -> float:
        """One epoch's steps; the mean loss."""
        fabric = self.fabric
        losses = torch.zeros(self.steps, device=fabric.device)
        look_every = 1 if fabric.device.type == "cpu" else _LOOK_EVERY
        since = 0
        for batch in batches(self.lesson.train, order, epoch, self.steps, fabric.global_rank, fabric.world_size):
            schedule.set_rates(self.optimiser, self._share((epoch - 1) * self.steps + batch.step))
            losses[batch.step] = self._step(batch)
            done = batch.step + 1
            if done - since == look_every or done == self.steps:
                found = self._checked(epoch, fabric.all_reduce(losses[:done].clone()))
                tick(done - since, self.course.note(epoch, self.plan, float(found.mean())))
                since = done
        sizes = np.diff(evenly(len(order), self.steps))
        return float(np.average(found.cpu().numpy().astype(np.float64), weights=sizes))

    def _step(self, batch: Batch) -> Tensor:
        """One step of the optimiser, and the loss before it."""
        loss = self._within_memory(lambda: self._gradients(batch), len(batch.positions))
        if self.plan.clip > 0:
            self.fabric.clip_gradients(self.module, self.optimiser, max_norm=self.plan.clip, error_if_nonfinite=False)
        self.optimiser.step()
        self.optimiser.zero_grad()
        self.average.after_step()
        return loss

    def _gradients(self, batch: Batch) -> Tensor:
        """Forward and backward, ``at_once`` images at a time. The loss, without a wait for the device."""
        count = len(batch.positions)
        if self.abreast is not None and self.at_once >= ABREAST * LEAST:
            parts = list(enumerate(batch.parts(cut(count, self.at_once))))
            found = self.abreast.gradients([each for each in self.net.parameters() if each.requires_grad], parts, self._abreast)
            if found is not None:
                return found
            self.abreast = None
        total = torch.zeros((), device=self.fabric.device)
        parts = list(enumerate(batch.parts(math.ceil(count / self.at_once))))
        for number, part in parts:
            self._seed(self._draw(part, number))
            with self.fabric.no_backward_sync(self.module, enabled=number + 1 < len(parts)):
                loss = self._loss(self.module, part)
                self.fabric.backward(loss)
            total += loss.detach()
        return total

    def _abreast(self, numbered: tuple[int, Batch]) -> Tensor:
        """The same loss in a thread of its own, past what Fabric keeps for the whole process."""
        number, part = numbered
        with Draws(self._draw(part, number)):
            return self._loss(self._plain, part)

    def _plain(self, pixels: Tensor) -> Tensor:
        with self.fabric.autocast():
            found: Tensor = self.net(pixels)
        return found.float()

    def _loss(self, module: Callable[[Tensor], Any], part: Batch) -> Tensor:
        """What the part adds to the loss of the batch."""
        places = torch.from_numpy(part.positions).to(self.fabric.device)
        pixels, targets = self.fabric.to_device(part.inputs), self.targets[places]
        if self.lesson.augment is not None:
            pixels, targets = self.lesson.augment(pixels, targets, part.epoch, part.first)
        weights = None if self.weights is None else self.weights[places]
        with QuickDepthwise() if self.fabric.device.type == "cpu" else nullcontext():
            outputs = module(laid_out(pixels))
        return self.lesson.loss(outputs, targets, weights) * part.share

    def _evaluate(self, epoch: int) -> tuple[float | None, float]:
        """Loss and score on the validation cases."""
        cases = self.lesson.validation
        if cases is None:
            return None, -math.inf
        self.net.eval()
        outputs = self._within_memory(lambda: self._outputs(cases), len(cases))
        loss = float(self.lesson.loss(outputs, self._there(cases.targets), self._there(cases.weights)))
        if not math.isfinite(loss) or not bool(torch.isfinite(outputs).all()):
            raise Ended("nan", f"on the validation cases after epoch {epoch}")
        score = -loss if self.lesson.score is None else float(self.lesson.score(outputs.cpu().numpy(), cases.targets))
        return loss, -math.inf if math.isnan(score) else score

    @torch.no_grad()
    def _outputs(self, cases: Cases) -> Tensor:
        """``(n, ...)`` float32; each process works on its part of the cases, and all get the whole."""
        shares = evenly(len(cases), self.fabric.world_size)
        start, end = shares[self.fabric.global_rank], shares[self.fabric.global_rank + 1]
        whole: Tensor | None = None
        with self.fabric.autocast():
            for a in range(start, max(end, start + 1), self.at_once):  # one at least, to know the shape
                rows = slice(a, min(a + self.at_once, max(end, start + 1)))
                found = self.net(laid_out(self.fabric.to_device(inputs(cases, rows)))).float()
                whole = found.new_zeros(len(cases), *found.shape[1:]) if whole is None else whole
                whole[rows] = found if end > start else 0
        joined: Tensor = self.fabric.all_reduce(whole, reduce_op="sum")
        return joined

    def _within_memory(self, work: Callable[[], R], images: int) -> R:
        """Do the work; again, with half as many images at once, where memory does not hold them."""
        while True:
            try:
                return work()
            except (RuntimeError, MemoryError) as error:
                if not _out_of_memory(error):
                    raise
                why = str(error)
            self.optimiser.zero_grad()  # what the error held is free by now
            self._halve(min(self.at_once, images), why)

    def _halve(self, used: int, why: str) -> None:
        """Fewer images at once from now on. Processes that share a batch cannot: each waits for the other's gradients."""
        several = self.fabric.world_size > 1
        if used <= LEAST or several:
            raise InputError(
                "out-of-memory",
                got=f"Memory does not hold {used} images at once in this network ({why}).",
                allowed="A network and images that memory holds.",
                fix="Choose a smaller batch." if several else "Choose a smaller network or smaller images, or train fewer layers.",
            )
        self.at_once = max(LEAST, math.ceil(used / 2))
        self.lesson.tell.say(f"Memory does not hold {used} images at once: {self.at_once} from now on; a step learns from as many.")
        if self.fabric.device.type == "cuda":
            torch.cuda.empty_cache()

    def _checked(self, epoch: int, losses: Tensor) -> Tensor:
        """The losses so far. Training ends where one is no number any more, or time is over."""
        wrong = torch.nonzero(~torch.isfinite(losses)).flatten()
        if len(wrong):
            step = int(wrong[0])
            rate = self.plan.rate * self._share((epoch - 1) * self.steps + step)
            raise Ended("nan", f"in epoch {epoch}, batch {step + 1} of {self.steps}, at rate {rate:.2g}")
        if self._any(self.lesson.clock() > self.lesson.deadline):
            raise Ended("deadline")
        return losses

    def _worth_while(self) -> None:
        """No epoch is begun when patience is lost, and none that would not end before the deadline."""
        if self.lesson.validation is not None and self.course.lost(self.plan.patience):
            raise Ended("patience")
        if self._any(self.lesson.clock() + self.course.pace > self.lesson.deadline):
            raise Ended("deadline")

    def _any(self, here: bool) -> bool:
        """Whether it is so in any process."""
        if self.fabric.world_size == 1:
            return here
        return bool(self.fabric.all_reduce(torch.tensor(float(here), device=self.fabric.device)) > 0)

    def _suits(self) -> int:
        """How many images at once, as long as memory holds them."""
        whole: int = math.ceil(self.plan.batch / self.fabric.world_size)
        if self.plan.at_once or self.fabric.device.type != "cpu" or self.lesson.seen == 0 or self.plan.norms != "keep":
            return min(self.plan.at_once, whole) or whole
        if self.apart:
            return min(whole, ABREAST * max(LEAST, _PART_PIXELS // self.lesson.seen))
        return min(whole, max(LEAST, _CPU_PIXELS // self.lesson.seen))

    def _apart(self) -> bool:
        """Whether parts of a batch go through abreast. Batch norms that learn their statistics want the whole batch."""
        alone = self.fabric.device.type == "cpu" and self.fabric.world_size == 1
        return self.lesson.apart and alone and self.plan.norms == "keep" and self.lesson.seen * self.plan.batch >= _WORTH_PIXELS

    def _share(self, step: int) -> float:
        """Of the rate, at a step of the whole training."""
        return schedule.factor(step, self.plan.epochs * self.steps, self.plan)

    def _order(self, epoch: int) -> NDArray[np.int64]:
        """Positions within the training cases."""
        if self.lesson.order is not None:
            return np.ascontiguousarray(self.lesson.order(epoch), np.int64)
        return order(len(self.lesson.train), self.lesson.seed, epoch)

    def _there(self, values: Array | None) -> Any:
        """On the device."""
        return None if values is None else torch.from_numpy(np.ascontiguousarray(values)).to(self.fabric.device)

    def _draw(self, part: Batch, number: int) -> int:
        """What dropout draws next depends on where in the training it is: a seed for a part of a batch."""
        where = [self.lesson.seed % 2**63, self.fabric.global_rank, part.epoch, part.step, number]
        return int(np.random.SeedSequence(where).generate_state(1, np.uint64)[0] >> 1)

    def _seed(self, number: int) -> None:
        """For all that draws in this process."""
        torch.default_generator.manual_seed(number)
        if self.fabric.device.type == "cuda":
            torch.cuda.manual_seed(number)

    def _keep(self, epoch: int) -> None:
        """Write a checkpoint, unless writing would take a good part of the time."""
        before, took = self.written
        start = self.lesson.clock()
        if self.folder is None or not self.fabric.is_global_zero or took > _WRITING_SHARE * (start - before):
            return
        remembered = checkpoints.optimiser_tensors(self.optimiser.optimizer)
        net = self.net.state_dict()
        said = {**self.course.to_json(), "at_once": self.at_once, "average_count": self.average.count}
        checkpoints.save(self.folder, Checkpoint(epoch, said, net, remembered, self.average.tensors, self.course.best))
        self.written = (self.lesson.clock(), self.lesson.clock() - start)

    def _keep_end(self, ended: Ended) -> None:
        """Of a training that has ended only the result is kept; one that lacked time can be gone on with."""
        if self.folder is not None and self.fabric.is_global_zero and ended.why != "deadline":
            said = {**self.course.to_json(), "at_once": self.at_once, "ended": [ended.why, ended.where]}
            checkpoints.save(self.folder, Checkpoint(self.course.done + 1, said, best=self.course.best))

    def _go_on(self) -> None:
        """Take up the last checkpoint of this very lesson, if there is one."""
        found = None if self.folder is None else checkpoints.load(self.folder)
        if found is None:
            return
        self.course, self.at_once = Course.from_json(found.said, found.best), int(found.said["at_once"])
        if "ended" in found.said:
            self.ended = Ended(*found.said["ended"])
            return
        self.net.load_state_dict(found.net)
        checkpoints.restore_optimiser(self.optimiser.optimizer, found.optimiser)
        self.average.restore(found.average, int(found.said["average_count"]))
        self.lesson.tell.say(f"Training goes on after epoch {found.epoch} of {self.plan.last}.")

    def _result(self, ended: Ended) -> Trained:
        """The best weights, and what is told of the rest."""
        course = self.course
        if ended.why == "nan":
            kept = f"the weights after epoch {course.best_epoch} are kept" if course.best_epoch else "the first weights are kept"
            self.lesson.tell.say(f"The loss was no longer a number {ended.where}: training ends, {kept}.")
        self.net.to("cpu").to(memory_format=torch.contiguous_format)
        self.net.load_state_dict(course.best)
        self.net.eval()
        plan = self.plan if self.at_once == self._suits() else dataclasses.replace(self.plan, at_once=self.at_once)
        if ended.why == "deadline":
            plan = dataclasses.replace(plan, stop_after=course.done)
        return Trained(
            state=course.best,
            history=course.history,
            best_epoch=course.best_epoch,
            stopped=ended.why,
            where=ended.where,
            plan=plan,
            batch=min(self.at_once * self.fabric.world_size, self.plan.batch),
            seconds=sum(float(row["seconds"]) for row in course.history),
        )


def _out_of_memory(error: BaseException) -> bool:
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(each in str(error) for each in _NO_MEMORY)
