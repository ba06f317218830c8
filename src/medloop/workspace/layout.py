"""What lies where in a workspace.

```
medloop-workspace/
  cache/       what was read, prepared and computed, by content; may be deleted at any time
  runs/NAME/   one learn: run.json, recipe.toml, model/, report.html, split.csv, predictions.csv, search.json
  inspections/NAME/  and evaluations/NAME/    report.html and result.json
```
"""

from __future__ import annotations

import secrets
import shutil
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from medloop.workspace.atomic import explained

_KINDS = ("runs", "inspections", "evaluations")
_LEFT_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Workspace:
    """A workspace at ``root``. Making the object touches nothing; `ready` creates the folders."""

    root: Path

    @property
    def cache(self) -> Path:
        """What can be computed again."""
        return self.root / "cache"

    @property
    def runs(self) -> Path:
        """One folder a run."""
        return self.root / "runs"

    def ready(self) -> Workspace:
        """Create the workspace, or say why that cannot be done."""
        with explained(self.root):
            for folder in (self.cache, self.runs):
                folder.mkdir(parents=True, exist_ok=True)
            probe = self.root / ".writable"
            probe.touch()
            probe.unlink(missing_ok=True)
            self._sweep()
        return self

    def fresh(self, kind: str, stem: str) -> Path:
        """A path for a new folder under ``kind`` (``runs``, ``inspections``, ...), named by time and ``stem``; not created.

        Four letters of chance keep apart what begins in the same second.
        """
        stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
        return self.root / kind / f"{stamp}-{stem}-{secrets.token_hex(2)}"

    def _sweep(self) -> None:
        """Remove what processes that were killed left half written a day ago or earlier."""
        limit = time.time() - _LEFT_S
        for draft in self.root.glob("*/.*.*"):
            if draft.is_dir() and draft.parent.name in _KINDS and draft.stat().st_mtime < limit:
                shutil.rmtree(draft, ignore_errors=True)
