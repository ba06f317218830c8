"""Requests and results as JSON: unknown keys are refused, and numbers that JSON cannot say become null."""

from __future__ import annotations

import dataclasses
import enum
import math
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config

from medloop.errors import InputError
from medloop.types import Json, Metric

T = TypeVar("T")


def to_json(value: Any) -> Json:
    """Plain JSON of a dataclass, mapping, sequence or NumPy scalar. A `Metric` keeps ``low`` and ``high`` even when null."""
    if isinstance(value, Metric):
        said = {"value": to_json(value.value), "low": to_json(value.low), "high": to_json(value.high)}
        return said if value.reason is None else said | {"reason": value.reason}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name.rstrip("_"): to_json(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return to_json(value.tolist())
    if isinstance(value, (list, tuple, set, frozenset)):
        return [to_json(item) for item in value]
    if isinstance(value, np.generic):
        return to_json(value.item())
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def from_json(kind: type[T], content: Json) -> T:
    """A request from JSON. Raises `InputError` that names every wrong key."""
    names = {item.name for item in dataclasses.fields(kind)}  # type: ignore[arg-type]
    if isinstance(content, dict):
        content = {key + "_" if key + "_" in names else key: item for key, item in content.items()}
    strict = with_config(ConfigDict(extra="forbid"))(type(kind.__name__, (kind,), {"__doc__": kind.__doc__}))
    try:
        read: Any = TypeAdapter(dataclasses.dataclass(frozen=True, kw_only=True)(strict)).validate_python(content)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, each['loc'])) or 'the request'}: {each['msg']}" for each in error.errors())
        raise InputError(
            "bad-request",
            got=f"The request cannot be read: {wrong}.",
            allowed=f"The keys {', '.join(sorted(name.rstrip('_') for name in names))}.",
            fix="Mend the keys named and send it again.",
        ) from error
    return kind(**{name: getattr(read, name) for name in names})
