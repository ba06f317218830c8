"""medloop learns to diagnose from labelled medical images, and keeps learning from the people who use it."""

from medloop.version import VERSION as __version__

__all__ = ["__version__"]
