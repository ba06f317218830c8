"""Plain loops with torch, timm, PIL and pydicom, as most scripts are written: what transfer learning here is compared with."""

from __future__ import annotations

import csv
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from PIL import Image as Pillow

from medloop.networks import weights
from medloop.torch_compat import timm, torch
from medloop.types import Array

NET = "tf_efficientnet_lite0"
BATCH = 16
SIDE = 224


def eyes(*, last: bool) -> torch.nn.Module:
    """timm's network as it comes: float32, its maps of all stages or of the last one only, in evaluation mode."""
    whole = timm.create_model(NET, pretrained=False)
    state, _ = weights.find(NET)
    whole.load_state_dict(state)
    net = timm.create_model(NET, pretrained=False, features_only=True, **({"out_indices": (-1,)} if last else {}))
    net.load_state_dict(whole.state_dict(), strict=False)
    frozen: torch.nn.Module = net.eval()
    return frozen


def scaled(pixels: torch.Tensor) -> torch.Tensor:
    """Bytes ``(N, 3, Y, X)`` in the network's own scale, -1 to 1."""
    return (pixels.float() / 255 - 0.5) / 0.5


def features(net: torch.nn.Module, pixels: Array) -> Array:
    """Mean and deviation of every map, ``(N, D)``, sixteen images at a time."""
    rows = []
    with torch.inference_mode():
        for start in range(0, len(pixels), BATCH):
            maps = net(scaled(torch.from_numpy(pixels[start : start + BATCH])))
            moments = [part for each in maps for part in (each.mean(dim=(2, 3)), each.std(dim=(2, 3), correction=0))]
            rows.append(torch.cat(moments, dim=1))
    return torch.cat(rows).numpy()


class Pictures(torch.utils.data.Dataset[tuple[Any, int]]):
    """Files decoded and brought to 224 by 224 each time they are asked for, flipped at random while learning."""

    def __init__(self, files: Sequence[Path], truth: Array, *, flips: bool) -> None:
        self.files, self.truth, self.flips = files, truth, flips

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        pixels = torch.from_numpy(raster(self.files[index]))
        if self.flips:
            pixels = pixels.flip(-1) if torch.rand(()) < 0.5 else pixels
            pixels = pixels.flip(-2) if torch.rand(()) < 0.5 else pixels
        return pixels, int(self.truth[index])


def raster(path: Path) -> Array:
    """``(3, 224, 224)`` bytes of a PNG or JPEG file."""
    with Pillow.open(path) as image:
        shown = image.convert("RGB").resize((SIDE, SIDE), Pillow.Resampling.BILINEAR)
    return np.ascontiguousarray(np.asarray(shown).transpose(2, 0, 1))


def dicom(path: Path) -> Array:
    """``(3, 224, 224)`` bytes of a DICOM file, from its smallest to its largest value."""
    pixels = pydicom.dcmread(path).pixel_array.astype(np.float32)
    low, high = float(pixels.min()), float(pixels.max())
    shown = Pillow.fromarray(((pixels - low) * (255 / (high - low))).astype(np.uint8))
    small = np.asarray(shown.resize((SIDE, SIDE), Pillow.Resampling.BILINEAR))
    return np.repeat(small[None], 3, axis=0)


def recipe(files: Sequence[Path], truth: Array, held: Array, epochs: int) -> tuple[float, list[float]]:
    """The classic recipe: a new linear layer, every picture through the frozen network in every epoch.

    ``held``: ``(n,)`` bool, the validation cases. Gives seconds an epoch and the validation accuracy after each.
    """
    torch.manual_seed(0)
    net = eyes(last=True)
    width, classes = 320, int(truth.max()) + 1
    layer = torch.nn.Linear(width, classes)
    torch.nn.init.kaiming_normal_(layer.weight)
    optimiser = torch.optim.SGD(layer.parameters(), 0.001, momentum=0.9)
    loaders = [
        torch.utils.data.DataLoader(
            Pictures([files[at] for at in rows], truth[rows], flips=flips), BATCH, shuffle=flips, num_workers=2
        )
        for rows, flips in ((np.flatnonzero(~held), True), (np.flatnonzero(held), False))
    ]
    start, accuracies = time.perf_counter(), []
    for _ in range(epochs):
        for pixels, labels in loaders[0]:
            with torch.no_grad():
                seen = net(scaled(pixels))[0].mean(dim=(2, 3))
            loss = torch.nn.functional.cross_entropy(layer(seen), labels)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        with torch.no_grad():
            right = [layer(net(scaled(pixels))[0].mean(dim=(2, 3))).argmax(dim=1) == labels for pixels, labels in loaders[1]]
        accuracies.append(float(torch.cat(right).float().mean()))
    return (time.perf_counter() - start) / epochs, accuracies


def predict(files: Sequence[Path], net: torch.nn.Module, layer: torch.nn.Linear, out: Path) -> None:
    """Read, prepare, send through the network sixteen at a time, write a CSV."""
    with out.open("w", newline="") as file, torch.inference_mode():
        writer = csv.writer(file)
        for names, pixels in _batches(files):
            chances = layer(net(scaled(pixels))[0].mean(dim=(2, 3))).softmax(dim=1)
            writer.writerows([name, *chance] for name, chance in zip(names, chances.tolist(), strict=True))


def _batches(files: Sequence[Path]) -> Iterator[tuple[list[str], torch.Tensor]]:
    for start in range(0, len(files), BATCH):
        part = files[start : start + BATCH]
        pixels = [dicom(path) if path.suffix == ".dcm" else raster(path) for path in part]
        yield [path.name for path in part], torch.from_numpy(np.stack(pixels))


def fine_tune(net: torch.nn.Module, pixels: Array, truth: Array) -> float:
    """Images a second of one epoch in which the whole network is trained, float32, in the order given."""
    net.train()
    optimiser = torch.optim.AdamW(net.parameters(), 3e-4, weight_decay=0.05)
    start = time.perf_counter()
    for first in range(0, len(pixels), BATCH):
        batch = torch.from_numpy(pixels[first : first + BATCH])
        loss = torch.nn.functional.cross_entropy(net(batch), torch.from_numpy(truth[first : first + BATCH]))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return len(pixels) / (time.perf_counter() - start)
