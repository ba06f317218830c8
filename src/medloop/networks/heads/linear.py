"""The last layer: numbers of one case to its raw scores."""

from __future__ import annotations

from medloop.torch_compat import torch


class LinearHead(torch.nn.Module):
    """``(N, width)`` to ``(N, columns)``, with dropout before it while it learns.

    Weights start after Kaiming (He et al., ICCV 2015), normal, for a layer that no rectifier follows; the bias starts at 0.
    """

    def __init__(self, width: int, columns: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = torch.nn.Dropout(dropout)
        self.linear = torch.nn.Linear(width, columns)
        torch.nn.init.kaiming_normal_(self.linear.weight, nonlinearity="linear")
        torch.nn.init.zeros_(self.linear.bias)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """``(N, columns)``."""
        scores: torch.Tensor = self.linear(self.dropout(features))
        return scores
