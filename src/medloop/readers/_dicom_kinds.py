"""DICOM objects that are no images of a patient, and why each is not used (PS3.6 annex A)."""

from __future__ import annotations

_ROOT = "1.2.840.10008.5.1.4.1.1."
_KINDS = {
    "1.2.840.10008.1.3.10": "a DICOMDIR: an index of other files, not an image",
    _ROOT + "66": "raw data, not an image",
    _ROOT + "66.1": "a spatial registration, not an image",
    _ROOT + "66.2": "spatial fiducials, not an image",
    _ROOT + "66.3": "a deformable registration, not an image",
    _ROOT + "66.4": "a segmentation (SEG): a mask of another series, not an image",
    _ROOT + "66.5": "a surface segmentation, not an image",
    _ROOT + "66.6": "tractography results, not an image",
    _ROOT + "66.7": "a label-map segmentation (SEG): a mask of another series, not an image",
    _ROOT + "66.8": "a height map segmentation: a mask of another series, not an image",
    _ROOT + "67": "a real-world value mapping (RWVM): units for another series, not an image",
    _ROOT + "68.1": "a surface scan mesh, not an image",
    _ROOT + "68.2": "a surface scan point cloud, not an image",
    _ROOT + "4.2": "MR spectroscopy: spectra, not an image",
    _ROOT + "104.1": "a PDF document inside DICOM, not an image",
    _ROOT + "104.2": "a CDA document inside DICOM, not an image",
    _ROOT + "104.3": "an STL model inside DICOM, not an image",
    _ROOT + "104.4": "an OBJ model inside DICOM, not an image",
    _ROOT + "104.5": "an MTL material inside DICOM, not an image",
    _ROOT + "481.2": "a radiotherapy dose grid, not an image",
    _ROOT + "481.3": "radiotherapy contours (RTSTRUCT): outlines on another series, not an image",
    _ROOT + "481.4": "radiotherapy treatment records, not an image",
    _ROOT + "481.5": "a radiotherapy plan, not an image",
    _ROOT + "88.59": "a key object selection: a list of other objects, not an image",
    _ROOT + "77.1.6": "a whole-slide picture made of tiles, which is not read",
}
_FAMILIES = {
    _ROOT + "88.": "a structured report (SR), not an image",
    _ROOT + "11.": "a presentation state: display settings for other images, not an image",
    _ROOT + "9.": "a waveform (ECG, audio, …), not an image",
    _ROOT + "78.": "an ophthalmic measurement, not an image",
    _ROOT + "481.": "a radiotherapy record or plan, not an image",
    _ROOT + "200.": "a display or implant template, not an image",
    "1.2.840.10008.5.1.4.34.": "a worklist or procedure step, not an image",
    "1.2.840.10008.5.1.4.38.": "a hanging protocol, not an image",
    "1.2.840.10008.5.1.4.39.": "a colour palette, not an image",
    "1.2.840.10008.5.1.4.43.": "an implant template, not an image",
    "1.2.840.10008.5.1.4.45.": "an implant template, not an image",
}
_IMAGES = {_ROOT + "481.1"}
_MODALITIES = {
    "SEG": "a segmentation (SEG): a mask of another series, not an image",
    "SR": "a structured report (SR), not an image",
    "PR": "a presentation state: display settings for other images, not an image",
    "KO": "a key object selection: a list of other objects, not an image",
    "RTSTRUCT": "radiotherapy contours (RTSTRUCT): outlines on another series, not an image",
    "RTPLAN": "a radiotherapy plan, not an image",
    "RTDOSE": "a radiotherapy dose grid, not an image",
    "REG": "a registration, not an image",
    "DOC": "a document inside DICOM, not an image",
}


def not_an_image(uid: str, modality: str | None) -> str | None:
    """Why an object of this SOP class (or, where it names none, of this modality) is no image; None where it may be one."""
    if uid in _IMAGES:
        return None
    if uid in _KINDS:
        return _KINDS[uid]
    known = next((reason for start, reason in _FAMILIES.items() if uid.startswith(start)), None)
    return known if uid else _MODALITIES.get(modality or "")
