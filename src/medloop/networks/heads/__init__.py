"""Heads: what stands at the end of a network, one module for each kind of answer, with the loss that teaches it."""

from medloop.networks.heads.linear import LinearHead

__all__ = ["LinearHead"]
