"""Round cells with a rim and a core, and a recipe that learns to outline them quickly."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

MASKS = ["--images", "*.bmp", "--masks", "*.png", "--mask-classes", "128=rim,255=core"]
COUNT = 28
RECIPE = """name = "quick"
family = "multitask"

[parameters]
side = 32
stages = [0, 1]
width = 8
views = 1
folds = 2
augmentation = {}
training = {epochs = 5, batch = 8, rate = 0.004}
"""
RULES = """[[rule]]
name = "no cell is so large"
measure = "rim longest diameter"
at_most = 2
unit = "px"
"""


@dataclass(frozen=True)
class Cells:
    folder: Path
    labels: Path
    recipe: Path
    home: list[str]

    @property
    def words(self) -> list[str]:
        return [str(self.folder), *MASKS]


def write_cells(folder: Path, count: int, seed: int = 0) -> None:
    """Every second cell is large; ``labels.csv`` beside the folder knows all but the first."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    lines = ["image,kind"]
    for k in range(count):
        y, x = np.mgrid[:32, :32] - rng.uniform(12, 20, (2, 1, 1))
        far, size = np.hypot(y, x), rng.uniform(8, 11) if k % 2 else rng.uniform(5, 7)
        mask = np.where(far < 0.6 * size, 255, np.where(far < size, 128, 0)).astype(np.uint8)
        pixels = 30 + 90 * (mask > 0) + 90 * (mask == 255) + rng.normal(0, 6, mask.shape)
        Pillow.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(folder / f"c{k:02}.bmp")
        Pillow.fromarray(mask).save(folder / f"c{k:02}.png")
        lines.append(f"c{k:02},{'large' if k % 2 else 'small'}")
    (folder.parent / "labels.csv").write_text("\n".join([lines[0], *lines[2:]]) + "\n")
