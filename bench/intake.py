"""Every DICOM file of the development data is used or rejected for a reason, and how many of pydicom's own decode.

The baseline is the number of files that pydicom itself decodes with the same plug-ins.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import pydicom
from pydicom.pixels import pixel_array

from bench.core import Row, shared
from medloop import readers
from medloop.compute import Compute
from medloop.errors import Unreadable
from medloop.readers import Collection


def rows() -> list[Row]:
    """Files accounted for, and files decoded."""
    with Compute() as compute:
        whole = readers.collect(shared("dicom"), compute=compute)
        odd = readers.collect(shared("dicom/pydicom_data"), compute=compute)
    accounted, lost = _accounted(whole)
    theirs = {path.name for path in shared("dicom/pydicom_data").glob("*.dcm") if _decodes(path)}
    images = zip(odd.refs, readers.read_many(odd.refs), strict=True)
    ours = {Path(path).name for ref, image in images if not isinstance(image, Unreadable) for path in ref.files}
    answered = theirs & (ours | {each.path for each in odd.rejected})
    return [
        Row(
            what="files of dicom/ used or rejected with a reason", figure=accounted, unit="files", baseline="files there",
            baseline_figure=len(whole.files), ratio=accounted / len(whole.files), notes=" ".join(sorted(lost)),
        ),
        Row(
            what="files of dicom/pydicom_data that pydicom decodes: used, or rejected for a reason of their own",
            figure=len(answered), unit="files", baseline="decoded by pydicom", baseline_figure=len(theirs),
            ratio=len(answered) / len(theirs), notes=f"{len(ours)} files used {' '.join(sorted(theirs - answered))}".strip(),
        ),
    ]  # fmt: skip


def _accounted(found: Collection) -> tuple[int, set[str]]:
    used = {Path(path).relative_to(found.root).as_posix() for ref in found.refs for path in ref.files}
    said = {each.path for each in found.rejected if each.reason} | {
        path.relative_to(found.root).as_posix() for path in found.tables
    }
    lost = set(found.files) - used - said
    return len(found.files) - len(lost), lost


def _decodes(path: Path) -> bool:
    """Whether pydicom decodes the file. Anything it raises means no."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            pixel_array(pydicom.dcmread(path, force=True))
        except Exception:
            return False
    return True
