"""A model's folder: ``model.json``, ``arrays.safetensors`` and ONNX files, each under its hash. Never a pickled object.

```
model.json            format_version, medloop, family, model (the family's own JSON), files, beside: {name: sha256}, sha256 (all)
arrays.safetensors    vocabularies, scalers, coefficients
*.onnx                trees
```
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as read_arrays
from safetensors.numpy import save as write_arrays

from medloop import registry
from medloop.errors import InputError
from medloop.families._job import Model, Parts
from medloop.types import Json
from medloop.version import VERSION
from medloop.workspace import write_folder, write_json

FORMAT = 1
"""Version of the folder's layout. A model of a newer version is refused."""
_HEAD, _ARRAYS = "model.json", "arrays.safetensors"
_SAVED = "A folder that medloop saved, unchanged."


def save(model: Model, folder: Path, *, beside: Mapping[str, bytes] | None = None) -> Path:
    """Write a model into a new folder, whole or not at all. Equal models give equal bytes.

    ``beside``: other files that belong to the model; `load` checks them by their hashes too.
    """
    others = beside or {}
    parts = registry.load("families", model.family).to_parts(model)
    plain = {name: np.ascontiguousarray(array) for name, array in sorted(parts.arrays.items())}
    contents = {_ARRAYS: write_arrays(plain), **parts.files}
    head = {
        "format_version": FORMAT,
        "medloop": VERSION,
        "family": model.family,
        "model": parts.json,
        "files": {name: _sha256(content) for name, content in contents.items()},
        "beside": {name: _sha256(content) for name, content in others.items()},
    }
    if folder.exists():
        raise InputError(
            "model-exists", got=f"{folder} is there already.", allowed="A folder not there yet.", fix="Name another place."
        )
    with write_folder(folder) as draft:
        for name, content in (contents | dict(others)).items():
            (draft / name).write_bytes(content)
        write_json(draft / _HEAD, head | {"sha256": _seal(head)})
    return folder


def load(folder: Path) -> Model:
    """Read a model, of whatever family. Raises `InputError` where a file is missing, changed or from a newer medloop."""
    head = _head(folder)
    version = head.get("format_version")
    if not isinstance(version, int) or version < 1:
        raise _damaged(folder, f"{_HEAD} does not say its version")
    if version > FORMAT:
        raise InputError(
            "model-newer",
            got=f"The model {folder} is of format {version}, written by medloop {head.get('medloop', 'of unknown version')}.",
            allowed=f"Formats up to {FORMAT} (this is medloop {VERSION}).",
            fix="Install a newer medloop.",
        )
    if head.get("sha256") != _seal({key: value for key, value in head.items() if key != "sha256"}):
        raise _damaged(folder, f"{_HEAD} was changed after it was written")
    if not isinstance(head.get("files"), dict) or not isinstance(head.get("beside", {}), dict):
        raise _damaged(folder, f"{_HEAD} does not list its files")
    _contents(folder, head.get("beside", {}))
    contents = _contents(folder, head["files"])
    try:
        # copies lie where NumPy puts arrays: products of matrices that lie elsewhere differ in the last bit
        arrays = {name: array.copy() for name, array in read_arrays(contents.pop(_ARRAYS)).items()}
    except (KeyError, SafetensorError) as error:
        raise _damaged(folder, f"{_ARRAYS} cannot be read") from error
    module = registry.load("families", str(head.get("family")))
    try:
        model: Model = module.from_parts(Parts(head["model"], arrays, contents))
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise _damaged(folder, f"{_HEAD} and {_ARRAYS} do not fit together") from error
    return model


def _head(folder: Path) -> dict[str, Any]:
    if not folder.is_dir():
        raise _missing(f"There is no folder {folder}.")
    try:
        head = json.loads((folder / _HEAD).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise _missing(f"{folder} has no {_HEAD}.") from error
    except (OSError, ValueError) as error:
        raise _damaged(folder, f"{_HEAD} cannot be read") from error
    if not isinstance(head, dict):
        raise _damaged(folder, f"{_HEAD} is not a model's description")
    return head


def _contents(folder: Path, files: Mapping[str, str]) -> dict[str, bytes]:
    """Every file listed, in order, each as its hash says."""
    contents = {}
    for name, expected in files.items():
        if Path(name).name != name:
            raise _damaged(folder, f"'{name}' lies outside the folder")
        try:
            content = (folder / name).read_bytes()
        except OSError as error:
            raise _damaged(folder, f"{name} is missing or cannot be read") from error
        if _sha256(content) != expected:
            raise _damaged(folder, f"{name} was changed after it was written")
        contents[name] = content
    return contents


def _missing(got: str) -> InputError:
    return InputError("no-model", got=got, allowed="A folder that medloop saved.", fix="Check the path of the model.")


def _damaged(folder: Path, what: str) -> InputError:
    return InputError(
        "model-damaged",
        got=f"The model {folder} cannot be trusted: {what}.",
        allowed=_SAVED,
        fix="Copy the folder again from where it was saved, or learn the model again.",
    )


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _seal(head: Json) -> str:
    return _sha256(json.dumps(head, sort_keys=True, ensure_ascii=False, allow_nan=False).encode("utf-8"))
