"""What failed in a way it should not: the details go to a file of the workspace, where no log and no page shows them."""

from __future__ import annotations

import time
import traceback
from pathlib import Path

from medloop.errors import MedloopError
from medloop.workspace import write_text


def defect(error: Exception, root: Path) -> MedloopError:
    """An error of ours, with where its details are."""
    path = root / f"medloop-defect-{time.strftime('%Y%m%d-%H%M%S')}.txt"
    try:
        write_text(path, "".join(traceback.format_exception(error)))
        where = f"Please report it with {path.name} of the workspace."
    except (OSError, MedloopError):
        where = "Please report it with what you did."
    return MedloopError(
        "defect",
        got=f"medloop failed in a way it should not ({type(error).__name__}).",
        allowed="No input should do this.",
        fix=where,
    )
