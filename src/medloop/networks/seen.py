"""How a network of several answers answers once it has learnt: over flipped and turned views, each answer turned back.

What is asked of pixels is averaged as probabilities: votes of several views say how sure a voxel is. The image itself is made up in
the first view alone, which is asked again for every part of it that is hidden.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from medloop.networks.classifier import views
from medloop.networks.multitask import Multitask
from medloop.torch_compat import torch

_LEAST = 1e-6
_UP, _LEFT, _DOWN, _RIGHT = range(4)
_FLIPS: tuple[tuple[int, ...], ...] = ((), (-1,), (-2,), (-2, -1))


class Seen(torch.nn.Module):
    """A network whose answers are the means over ``count`` views (see `classifier.TURNS`).

    ``names``: of what `forward` gives, in this order: as `Multitask` does, but ``masks`` are probabilities.
    """

    def __init__(self, net: Multitask, count: int = 1) -> None:
        super().__init__()
        self.net = net
        self.count = count
        self.names = net.spec.outputs

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """One tensor a name."""
        found = [self._of(view, number) for number, view in enumerate(views(pixels, self.count))]
        return tuple(_joined(name, [each[name] for each in found if name in each]) for name in self.names)

    def _of(self, view: torch.Tensor, number: int) -> dict[str, torch.Tensor]:
        names = self.names if number == 0 else tuple(name for name in self.names if name != "image")
        said: Mapping[str, torch.Tensor] = self.net.answers(self.net.maps(view), view, names)
        flips, turned = _FLIPS[number % len(_FLIPS)], number >= len(_FLIPS)
        return {name: _BACK.get(name, _as_it_is)(said[name], flips, turned) for name in names}


def _as_it_is(values: torch.Tensor, flips: tuple[int, ...], turned: bool) -> torch.Tensor:
    """What is said of the case is the same in every view."""
    del flips, turned
    return values.float()


def _back(values: torch.Tensor, flips: tuple[int, ...], turned: bool) -> torch.Tensor:
    """The last two axes turned back."""
    plain = values.transpose(-2, -1) if turned else values
    return plain.flip(flips) if flips else plain


def _shares(scores: torch.Tensor, flips: tuple[int, ...], turned: bool) -> torch.Tensor:
    return _back(scores.float().softmax(dim=1), flips, turned)


def _edges(sizes: torch.Tensor, flips: tuple[int, ...], turned: bool) -> torch.Tensor:
    """In a mirror left is right."""
    order = [_LEFT, _UP, _RIGHT, _DOWN] if turned else [_UP, _LEFT, _DOWN, _RIGHT]
    if -2 in flips:
        order = [order[_DOWN], order[_LEFT], order[_UP], order[_RIGHT]]
    if -1 in flips:
        order = [order[_UP], order[_RIGHT], order[_DOWN], order[_LEFT]]
    return _back(sizes.float()[:, order], flips, turned)


def _joined(name: str, found: list[torch.Tensor]) -> torch.Tensor:
    if name == "centres":
        logits = torch.stack(found).float()
        yes, no = (each.sigmoid().mean(dim=0).clamp(min=_LEAST) for each in (logits, -logits))
        return torch.log(yes / no)  # 1 - yes would be noise where all views are sure
    mean = torch.stack(found).mean(dim=0) if len(found) > 1 else found[0]
    return torch.nn.functional.normalize(mean) if name == "embedding" else mean


_BACK: Mapping[str, Callable[[torch.Tensor, tuple[int, ...], bool], torch.Tensor]] = {
    "masks": _shares,
    "centres": _back,
    "sizes": _edges,
}
