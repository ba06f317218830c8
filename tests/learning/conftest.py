"""What all tests of learning share."""

import pytest
import torch


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """These networks are too small for more, and threads of several test processes would wait for one another."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
