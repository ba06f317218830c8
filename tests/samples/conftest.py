from __future__ import annotations

from pathlib import Path

import pytest

from medloop.samples import phantom_ct


@pytest.fixture(scope="session")
def written(tmp_path_factory) -> Path:
    """A small collection."""
    folder = tmp_path_factory.mktemp("phantom") / "ct"
    phantom_ct.write(folder, seed=5, patients=8)
    return folder
