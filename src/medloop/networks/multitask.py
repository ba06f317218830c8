"""One network that answers several questions of an image: a shared backbone, a pyramid, and a small head for each answer.

A flat picture goes through the backbone as it is. A volume goes slice by slice, each with its neighbours as further channels
(2.5-D); what is asked of pixels is answered slice by slice, what is asked of the case is joined over the slices.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from medloop.networks import necks
from medloop.networks.classifier import Answer, ClassifierSpec
from medloop.networks.heads.boxes import BoxHead
from medloop.networks.heads.masks import FineMaskHead, MaskHead
from medloop.networks.heads.reconstruction import ImageHead
from medloop.networks.heads.similarity import SimilarityHead
from medloop.networks.pyramid import Pyramid, enlarged
from medloop.torch_compat import torch
from medloop.types import Json

OUTPUTS = ("classes", "masks", "centres", "sizes", "measures", "image", "embedding")
"""What can be asked, in this order."""
_OF_PLACES = {"masks", "centres", "sizes", "image"}
_IMAGE_STRIDE = 4


@dataclass(frozen=True, slots=True)
class MultitaskSpec:
    """What stands on a backbone; 0 is: not asked.

    ``columns``: of raw scores of classes. ``masks``: K kinds of tissue. ``boxes``: K kinds of findings, whose centres are told
    every ``stride`` pixels. ``measures``: numbers. ``image``: whether the image itself is made up. ``embedding``: numbers of the
    place of a case among others of its kind, of which there are ``kinds``. ``regions``, ``join``, ``dropout``: of what is asked of
    the case, see `ClassifierSpec`. ``width``: of the pyramid. ``context``: neighbours of a slice, each side, that it is seen with.
    ``guided``: whether what is asked of the case is also asked of each kind of tissue by itself, or else of each kind of finding,
    where the network itself sees it. ``fine``: channels of the pixels, each slice with its neighbours, that masks are also made
    from, 0: none.
    """

    columns: int = 0
    masks: int = 0
    boxes: int = 0
    stride: int = 8
    measures: int = 0
    image: bool = False
    embedding: int = 0
    kinds: int = 0
    regions: tuple[int, ...] = (1,)
    join: str = "mean"
    dropout: float = 0.0
    width: int = 64
    context: int = 0
    guided: bool = False
    fine: int = 0

    @property
    def guide(self) -> tuple[str, ...]:
        """The answer that says where to look for what is asked of the case."""
        return (("masks",) if self.masks else ("centres",)) if self.guided else ()

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of what is asked, in the order of `OUTPUTS`."""
        given = {"classes": self.columns, "centres": self.boxes, "sizes": self.boxes} | asdict(self)
        return tuple(name for name in OUTPUTS if given[name])

    def of_case(self, columns: int) -> ClassifierSpec:
        """Of an answer to the case as a whole."""
        return ClassifierSpec(columns, self.regions, self.join, dropout=self.dropout)

    def to_json(self) -> dict[str, Json]:
        """Plain JSON."""
        return asdict(self) | {"regions": list(self.regions)}

    @staticmethod
    def from_json(saved: Json) -> MultitaskSpec:
        """Back from `to_json`."""
        return MultitaskSpec(**{**saved, "regions": tuple(saved["regions"])})


class Multitask(torch.nn.Module):
    """Prepared pixels ``(N, C, Y, X)`` or ``(N, C, Z, Y, X)``, uint8 or float 0 to 255, to answers by name.

    ``classes``: ``(N, columns)``. ``masks``: scores ``(N, K + 1, [Z,] Y, X)`` for every pixel that came in. ``centres``: ``(N, K,
    [Z,] y, x)`` and ``sizes``: ``(N, 4, [Z,] y, x)``, a cell for every ``stride`` pixels (see `heads.boxes`). ``measures``: ``(N,
    M)``. ``image``: ``(N, 1, [Z,] y', x')`` (see `heads.reconstruction`). ``embedding``: ``(N, E)`` of length 1; where they are
    asked, ``proxies`` ``(kinds, E)`` of the kinds of cases.
    """

    backbone: Any
    masks: torch.nn.Module

    def __init__(self, backbone: Any, spec: MultitaskSpec) -> None:
        super().__init__()
        self.spec = spec
        self.backbone = backbone
        self.pool = necks.Pool(backbone.channels, spec.regions, (spec.masks or spec.boxes) if spec.guided else 0)
        width = self.pool.width
        if spec.columns:
            self.answer = Answer(width, spec.of_case(spec.columns))
        if spec.measures:
            self.measures = Answer(width, spec.of_case(spec.measures))
        if spec.embedding:
            self.embedding = SimilarityHead(width, spec.of_case(spec.embedding), spec.kinds)
        if set(spec.outputs) & _OF_PLACES:
            self._look_at_places(spec)

    def _look_at_places(self, spec: MultitaskSpec) -> None:
        """What stands between the maps and answers about places."""
        self.pyramid = Pyramid(self.backbone.channels, self.backbone.reductions, spec.width)
        self._at, self._coarse = self.pyramid.nearest(spec.stride), self.pyramid.nearest(_IMAGE_STRIDE)
        if spec.masks:
            width = self.pyramid.widths[0]
            self.masks = FineMaskHead(width, spec.masks, spec.fine) if spec.fine else MaskHead(width, spec.masks)
        if spec.boxes:
            self.boxes = BoxHead(self.pyramid.widths[self._at], spec.boxes, spec.stride)
        if spec.image:
            self.image = ImageHead(self.pyramid.widths[self._coarse])

    def blocks(self) -> list[list[torch.nn.Parameter]]:
        """Parameters from the stem to the heads; what tells of places, which begins from nothing, is the last block of all.

        What tells of the case stands before it: it begins fitted to what the backbone says, and must not be hurried.
        """
        places = [getattr(self, name) for name in ("pyramid", "masks", "boxes", "image") if hasattr(self, name)]
        last = [each for part in places for each in part.parameters()]
        before = {id(each) for each in [*self.backbone.parameters(), *last]}
        case = [each for each in self.parameters() if id(each) not in before]
        return [*self.backbone.blocks(), *([case] if case else []), *([last] if last else [])]

    def forward(self, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        """All that the spec asks, by name."""
        return self.answers(self.maps(pixels), pixels, self.spec.outputs)

    def features(self, pixels: torch.Tensor) -> torch.Tensor:
        """Pooled numbers of every slice, ``(N, S, width)``; a flat picture has one."""
        return self.pooled(self.maps(pixels), pixels)

    def maps(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        """What the backbone says of every slice, ``(N S, C_i, Y_i, X_i)``: what all answers share."""
        found: list[torch.Tensor] = self.backbone(slices(pixels, self.spec.context))
        return found

    def answers(self, maps: Sequence[torch.Tensor], pixels: torch.Tensor, asked: Collection[str]) -> dict[str, torch.Tensor]:
        """What is asked, from the maps of these pixels; little is cheaper than much."""
        of_case = bool(set(asked) - _OF_PLACES)
        needed = {*asked, *(self.spec.guide if of_case else ())}
        places = self._of_places(maps, pixels, needed) if needed & _OF_PLACES else {}
        found = self._of_case(self._pooled(maps, pixels, self._guides(places)), asked) if of_case else {}
        return found | {name: each for name, each in places.items() if name in asked}

    def pooled(self, maps: Sequence[torch.Tensor], pixels: torch.Tensor) -> torch.Tensor:
        """`features`, from the maps of these pixels."""
        return self._pooled(maps, pixels, self._guides(self._of_places(maps, pixels, self.spec.guide) if self.spec.guided else {}))

    def learn_levels(self, features: torch.Tensor) -> None:
        """Put the numbers that reach the heads on one scale, learnt from training features ``(N, S, width)``."""
        for part in self.modules():
            if isinstance(part, necks.Level):
                part.learn(features)

    def _of_case(self, features: torch.Tensor, asked: Collection[str]) -> dict[str, torch.Tensor]:
        found = {}
        if "classes" in asked:
            found["classes"] = self.answer(features)
        if "measures" in asked:
            found["measures"] = self.measures(features)
        if "embedding" in asked:
            found["embedding"] = self.embedding(features)
        if "proxies" in asked:
            found["proxies"] = self.embedding.places()
        return found

    def _of_places(self, maps: Sequence[torch.Tensor], pixels: torch.Tensor, asked: Collection[str]) -> dict[str, torch.Tensor]:
        needed = {"masks": 0, "image": self._coarse, "centres": self._at, "sizes": self._at}
        levels, found = self.pyramid(maps, min(needed[name] for name in needed if name in asked)), {}
        if "masks" in asked:
            shown = slices(pixels, self.spec.context) if self.spec.fine else pixels.shape[-2:]
            found["masks"] = stacked(self.masks(levels[0], shown), pixels)
        if "centres" in asked:
            cells = [-(-int(side) // self.spec.stride) for side in pixels.shape[-2:]]
            centres, sizes = self.boxes(enlarged(levels[self._at], cells))
            found |= {"centres": stacked(centres, pixels), "sizes": stacked(sizes, pixels)}
        if "image" in asked:
            found["image"] = stacked(self.image(levels[self._coarse]), pixels)
        return found

    def _guides(self, places: Mapping[str, torch.Tensor]) -> torch.Tensor | None:
        """``(N S, G, y, x)`` from 0 to 1: where each kind is. What is asked of the case does not change what is said of places."""
        if not self.spec.guided:
            return None
        if self.spec.masks:
            return slices(places["masks"].detach().float().softmax(dim=1)[:, 1:], 0)
        return slices(places["centres"].detach().float().sigmoid(), 0)

    def _pooled(self, maps: Sequence[torch.Tensor], pixels: torch.Tensor, guides: torch.Tensor | None) -> torch.Tensor:
        count = pixels.shape[2] if pixels.dim() == 5 else 1
        pooled: torch.Tensor = self.pool(maps, guides)
        return pooled.reshape(-1, count, self.pool.width)


def slices(pixels: torch.Tensor, context: int) -> torch.Tensor:
    """``(N, C, Z, Y, X)`` to ``(N Z, (2 context + 1) C, Y, X)``: each slice after those before it, and before those behind it.

    Beyond the ends the last slice stands for its neighbours; a flat picture ``(N, C, Y, X)`` is its own neighbour.
    """
    if pixels.dim() == 4:
        return pixels if context == 0 else pixels.repeat(1, 2 * context + 1, 1, 1)
    depth = pixels.shape[2]
    seen = [[min(max(at + step, 0), depth - 1) for at in range(depth)] for step in range(-context, context + 1)]
    beside = torch.cat([pixels[:, :, places] for places in seen], dim=1) if context else pixels
    return beside.transpose(1, 2).flatten(0, 1)


def stacked(values: torch.Tensor, pixels: torch.Tensor) -> torch.Tensor:
    """What was said of slices ``(N Z, K, y, x)`` as volumes ``(N, K, Z, y, x)``; of flat pictures as it is."""
    if pixels.dim() == 4:
        return values
    return values.reshape(-1, pixels.shape[2], *values.shape[1:]).transpose(1, 2)
