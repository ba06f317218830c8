"""torchvision and timm beside a torch without CUDA."""

from __future__ import annotations

import subprocess
import sys


def test_timm_makes_networks():
    from medloop.torch_compat import timm, torch

    assert timm.is_model("tf_efficientnet_lite0")
    assert torch.nn.Linear(2, 1)(torch.ones(1, 2)).shape == (1, 1)


def test_a_second_declaration_is_harmless():
    from medloop import torch_compat

    first, second = torch_compat._declare(), torch_compat._declare()
    assert (first is None) == (second is None)


def test_torchvision_that_has_its_operators_is_left_alone(monkeypatch):
    from medloop import torch_compat
    from medloop.torch_compat import torch

    monkeypatch.setattr(torch.version, "cuda", "13.0")
    assert torch_compat._declare() is None


def test_torch_is_not_loaded_where_it_is_not_needed():
    program = "import sys, medloop.cli, medloop.registry, medloop.requests, medloop.networks; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
