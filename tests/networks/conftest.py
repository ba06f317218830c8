"""Real pictures, and a hub of our own."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from skimage.data import astronaut


@pytest.fixture(scope="session")
def pictures():
    """Six different parts of a photograph: ``(6, 3, 48, 48)`` uint8."""
    whole = astronaut()
    parts = [whole[top : top + 160, left : left + 160] for top in (0, 180) for left in (40, 150, 300)]
    return np.stack([cv2.resize(part, (48, 48), interpolation=cv2.INTER_AREA).transpose(2, 0, 1) for part in parts])
