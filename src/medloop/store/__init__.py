"""What a department's medloop remembers: studies, proposals, reviews, labels, models, accounts, and the audit trail of it all.

One module a noun, each with plain functions that take a `Store`; `open` gives one. Nothing here reads images or knows a model.
"""

from medloop.store.base import Store, open

__all__ = ["Store", "open"]
