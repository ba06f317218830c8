"""What a network that sees volumes as volumes is made of, as data (`medloop.networks.solid` brings MONAI, this does not)."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from medloop.types import Json

NORMS = ("group", "batch")


@dataclass(frozen=True, slots=True)
class SolidSpec:
    """``channels``: of the volumes. ``filters``: of the first maps, a multiple of 4; each of ``levels`` has twice those before it.

    ``reduce``: voxels ``z, y, x`` of which the mean is one that the network sees. ``blocks``: pairs of convolutions at each level;
    empty: one at the first, two at each of the others. ``norm``: ``group`` (each volume by itself, so that a batch
    may be one volume) or ``batch`` (all volumes of a batch together, for many small ones).
    """

    channels: int = 1
    filters: int = 8
    levels: int = 4
    reduce: tuple[int, int, int] = (1, 1, 1)
    blocks: tuple[int, ...] = ()
    norm: str = "group"

    def to_json(self) -> dict[str, Json]:
        """As plain JSON."""
        return asdict(self) | {"reduce": list(self.reduce), "blocks": list(self.blocks)}

    @staticmethod
    def from_json(saved: Json) -> SolidSpec:
        """Back from `to_json`."""
        return SolidSpec(**{**saved, "reduce": tuple(saved["reduce"]), "blocks": tuple(saved.get("blocks", ()))})
