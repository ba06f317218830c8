"""What a person reads after a verb is done, by the kind of its result: one file a group of verbs."""

from medloop.cli.text import learning, models, operating, reading
from medloop.cli.text._words import as_text

__all__ = ["as_text", "learning", "models", "operating", "reading"]
