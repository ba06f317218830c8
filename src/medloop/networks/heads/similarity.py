"""Similarity: a place for each case such that cases of one diagnosis lie together, so that the nearest ones can be shown.

Supervised contrastive learning (Khosla et al., NeurIPS 2020). Each class has a proxy, learnt as well, that stands among the cases
(Cui et al., Parametric contrastive learning, ICCV 2021): so every case has one of its kind beside it, however few go through at
once.
"""

from __future__ import annotations

from torch.nn.functional import normalize

from medloop.networks.classifier import Answer, ClassifierSpec
from medloop.torch_compat import torch

_TEMPERATURE = 0.1


class SimilarityHead(torch.nn.Module):
    """Pooled numbers of slices ``(N, S, width)`` to places of length 1, ``(N, E)``.

    ``spec``: its columns are E. ``proxies``: ``(K, E)``, of length 1 when `places` gives them.
    """

    def __init__(self, width: int, spec: ClassifierSpec, classes: int) -> None:
        super().__init__()
        self.answer = Answer(width, spec)
        self.proxies = torch.nn.Parameter(normalize(torch.randn(classes, spec.columns)))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """``(N, E)`` float32."""
        return normalize(self.answer(features).float())

    def places(self) -> torch.Tensor:
        """Of the classes, ``(K, E)``."""
        return normalize(self.proxies)


def loss(embedding: torch.Tensor, proxies: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """Mean over the known cases of how unlikely each finds those of its kind among all others.

    ``embedding``: ``(N, E)``. ``proxies``: ``(K, E)``. ``classes``: ``(N,)`` whole numbers, below 0 where unknown: such a case
    costs nothing and is no one's neighbour.
    """
    seen = known(classes)
    kinds = torch.cat([classes.long(), torch.arange(len(proxies), device=classes.device)])
    there = torch.cat([seen, torch.ones_like(kinds[len(seen) :], dtype=torch.bool)])
    near = embedding.float() @ torch.cat([embedding, proxies]).float().T / _TEMPERATURE
    itself = torch.eye(len(seen), len(kinds), dtype=torch.bool, device=near.device)
    log_share = torch.log_softmax(near.masked_fill(itself | ~there, -1e9), dim=1)
    alike = (kinds[: len(seen), None] == kinds) & there & ~itself
    each = -(log_share * alike).sum(dim=1) / alike.sum(dim=1).clamp(min=1)
    return (each * seen).sum() / seen.sum().clamp(min=1)


def known(classes: torch.Tensor) -> torch.Tensor:
    """``(N,)`` bool."""
    return classes >= 0
