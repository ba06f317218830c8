"""One place for heavy work: a top-level function mapped over references, in spawned processes."""

from medloop.compute.local import Compute, Died

__all__ = ["Compute", "Died"]
