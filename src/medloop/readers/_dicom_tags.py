"""Which elements of a DICOM header are looked at, and nothing else of it is."""

from __future__ import annotations

from pydicom.datadict import dictionary_VR, tag_for_keyword

PIXELS = 0x7FE00010
FLOAT_PIXELS = (0x7FE00008, 0x7FE00009)
FACTS = {
    "modality": "Modality", "manufacturer": "Manufacturer", "model": "ManufacturerModelName", "station": "StationName",
    "institution": "InstitutionName", "body_part": "BodyPartExamined", "view": "ViewPosition", "laterality": "Laterality",
    "image_laterality": "ImageLaterality", "protocol": "ProtocolName", "series_description": "SeriesDescription",
    "study_description": "StudyDescription", "kernel": "ConvolutionKernel", "field_strength": "MagneticFieldStrength",
    "kvp": "KVP", "slice_thickness": "SliceThickness", "echo_time": "EchoTime", "repetition_time": "RepetitionTime",
    "contrast_agent": "ContrastBolusAgent", "software": "SoftwareVersions", "sex": "PatientSex",
    "photometric": "PhotometricInterpretation", "patient_position": "PatientPosition",
    "burned_in_annotation": "BurnedInAnnotation",
}  # fmt: skip
"""Acquisition facts, and the keyword each comes from."""

KEYWORDS = (
    *FACTS.values(), "SpecificCharacterSet", "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "PatientID",
    "SeriesNumber", "InstanceNumber", "AcquisitionNumber", "TemporalPositionIdentifier", "TriggerTime", "AcquisitionTime",
    "ContentTime", "AcquisitionDateTime", "DiffusionBValue", "ImageType", "Rows", "Columns", "SamplesPerPixel", "BitsAllocated",
    "BitsStored", "PixelRepresentation", "NumberOfFrames", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing",
    "ImagerPixelSpacing", "NominalScannedPixelSpacing", "SpacingBetweenSlices", "SliceLocation", "RescaleSlope", "RescaleIntercept",
    "ModalityLUTSequence", "FrameIncrementPointer", "PatientAge", "PatientBirthDate", "StudyDate",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
)  # fmt: skip

MOSAIC_CREATOR, MOSAIC_COUNT = 0x00190010, 0x0019100A
CSA_CREATORS = (0x00290010, 0x00290011)
PRIVATE = (MOSAIC_CREATOR, MOSAIC_COUNT, *CSA_CREATORS, 0x00291010, 0x00291110)

TAGS: dict[str, int] = {keyword: int(tag_for_keyword(keyword) or 0) for keyword in KEYWORDS}
"""Tag of each keyword."""
VRS: dict[int, str] = {tag: dictionary_VR(tag) for tag in TAGS.values()} | dict.fromkeys(PRIVATE, "UN")
"""VR of each tag looked at, for headers that do not say it."""
NESTED = frozenset({TAGS["SharedFunctionalGroupsSequence"], TAGS["PerFrameFunctionalGroupsSequence"]})
"""Sequences that are looked into."""
