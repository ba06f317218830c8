"""Where a training stands, on disk: tensors as safetensors, the rest as JSON, in a folder that is there whole or not at all.

```
FOLDER/KEY/epoch-0003/   net.safetensors  optimiser.safetensors  average.safetensors  best.safetensors  state.json
```

``KEY`` names everything that makes the result, so another plan, seed, start or set of cases never goes on from it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from medloop.types import Json
from medloop.workspace import write_folder, write_json

_PARTS = ("net", "optimiser", "average", "best")


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """The end of an epoch. ``said``: history, best epoch and what else is no tensor."""

    epoch: int
    said: Mapping[str, Json]
    net: Mapping[str, Tensor] = field(default_factory=dict)
    optimiser: Mapping[str, Tensor] = field(default_factory=dict)
    average: Mapping[str, Tensor] = field(default_factory=dict)
    best: Mapping[str, Tensor] = field(default_factory=dict)


def save(folder: Path, checkpoint: Checkpoint) -> None:
    """Write the checkpoint, then remove the ones before it. Raises `InputError` for a full or closed disk."""
    path = folder / f"epoch-{checkpoint.epoch:04d}"
    if path.exists():  # unreadable, or it would have been gone on from
        shutil.rmtree(path)
    with write_folder(path) as beside:
        for part in _PARTS:
            save_file(plain(getattr(checkpoint, part)), beside / f"{part}.safetensors")
        write_json(beside / "state.json", {"epoch": checkpoint.epoch, **checkpoint.said})
    for other in _epochs(folder):
        if other != path:
            shutil.rmtree(other, ignore_errors=True)


def load(folder: Path) -> Checkpoint | None:
    """The latest checkpoint that can be read; None where there is none."""
    for path in reversed(_epochs(folder)):
        try:
            said = json.loads((path / "state.json").read_text("utf-8"))
            tensors = {part: load_file(path / f"{part}.safetensors") for part in _PARTS}
            return Checkpoint(int(said.pop("epoch")), said, **tensors)
        except (OSError, ValueError, KeyError, SafetensorError):  # cut short by a machine that lost power
            continue
    return None


def clear(folder: Path) -> None:
    """Remove what is kept of a training that has ended."""
    shutil.rmtree(folder, ignore_errors=True)


def plain(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies in main memory, in the usual order of axes."""
    return {name: each.detach().to("cpu", copy=True).contiguous() for name, each in tensors.items()}


def optimiser_tensors(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """What an optimiser remembers: ``PLACE.NAME``, the place of a parameter among all of its parameters."""
    return {
        f"{place}.{name}": value
        for place, parameter in enumerate(_parameters(optimiser))
        for name, value in optimiser.state.get(parameter, {}).items()
        if isinstance(value, Tensor)
    }


def restore_optimiser(optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """The inverse of `optimiser_tensors`. Each tensor lies in memory as its parameter does, which fused optimisers rely on."""
    parameters = _parameters(optimiser)
    for key, value in tensors.items():
        place, name = key.split(".", 1)
        parameter = parameters[int(place)]
        like = torch.empty_like(parameter) if value.shape == parameter.shape else torch.empty_like(value, device=parameter.device)
        optimiser.state[parameter][name] = like.copy_(value)


def _parameters(optimiser: torch.optim.Optimizer) -> list[torch.nn.Parameter]:
    return [parameter for group in optimiser.param_groups for parameter in group["params"]]


def _epochs(folder: Path) -> list[Path]:
    return sorted(folder.glob("epoch-*"))
