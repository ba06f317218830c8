"""What failed in a way it should not: the details go to a file of the workspace, where no log and no page shows them."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from pathlib import Path

from medloop.errors import MedloopError
from medloop.workspace import write_text


def defect(error: Exception, folder: Path, named: Callable[[Path], object] = str) -> MedloopError:
    """An error of ours, with where its details are: a file of the folder, ``named`` as its reader knows it."""
    path = folder / f"medloop-defect-{time.strftime('%Y%m%d-%H%M%S')}.txt"
    try:
        write_text(path, "".join(traceback.format_exception(error)))
        where = f"Please report it with {named(path)}."
    except (OSError, MedloopError):
        where = "Please report it with what you did."
    return MedloopError(
        "defect",
        got=f"medloop failed in a way it should not ({type(error).__name__}).",
        allowed="No input should do this.",
        fix=where,
    )
