"""Where a network is trained, and in which precision.

A device is written ``auto`` (the first GPU, else the CPU), ``cpu``, ``cuda``, ``cuda:1`` (the second GPU), or ``cuda*4`` and
``cpu*2`` (several processes that share each batch, one GPU each).
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass

import torch
from lightning_fabric import Fabric

from medloop.errors import InputError

# It tells of precision and processes, which are chosen and told here. Set on import, for so it holds in started processes, too.
logging.getLogger("lightning_fabric").setLevel(logging.WARNING)

_WRITTEN = re.compile(r"(auto|cpu|cuda)(?::(\d+))?(?:\*(\d+))?")
_ALLOWED = "auto, cpu, cuda, cuda:N for the GPU of that number, cuda*N or cpu*N for N processes."


@dataclass(frozen=True, slots=True)
class Place:
    """``kind``: ``cpu`` or ``cuda``. ``first``: the GPU's number. ``processes``: that share each batch. ``bf16``: in bfloat16."""

    kind: str
    first: int = 0
    processes: int = 1
    bf16: bool = False

    @property
    def text(self) -> str:
        """In words."""
        where = "CPU" if self.kind == "cpu" else f"GPU {self.first}"
        several = f", {self.processes} processes" if self.processes > 1 else ""
        return f"{where}{several}, {'bfloat16' if self.bf16 else 'float32'}"

    def fabric(self) -> Fabric:
        """Lightning Fabric for this place; processes are started by `Fabric.launch`."""
        several = self.processes > 1
        return Fabric(
            accelerator=self.kind,
            devices=self.processes if several or self.kind == "cpu" else [self.first],
            strategy="ddp_spawn" if several else "auto",
            precision="bf16-mixed" if self.bf16 else "32-true",
        )


def place(device: str = "auto", precision: str = "auto") -> Place:
    """What ``device`` and ``precision`` (``auto``, ``32``, ``bf16``) mean here. Raises `InputError` for a GPU that is absent."""
    found = _WRITTEN.fullmatch(device)
    if found is None or (found[2] and found[1] != "cuda") or found[3] == "0" or (found[2] and found[3]):
        raise InputError(
            "unknown-device", got=f"The device '{device}'.", allowed=_ALLOWED, fix="Write auto to take what this machine has."
        )
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    kind = ("cuda" if gpus else "cpu") if found[1] == "auto" else found[1]
    first, processes = int(found[2] or 0), int(found[3] or 1)
    if kind == "cuda" and first + processes > gpus:
        raise InputError(
            "no-such-gpu",
            got=f"The device '{device}', and this machine has {gpus or 'no'} GPU{'' if gpus == 1 else 's'} that torch can use.",
            allowed="cpu" + (f", cuda:0 to cuda:{gpus - 1}." if gpus else "."),
            fix="Use --device auto or cpu, or install the torch wheel and driver for your GPU (see `medloop doctor`).",
        )
    return Place(kind, first, processes, precision == "bf16" or (precision == "auto" and has_bf16(kind)))


def has_bf16(kind: str) -> bool:
    """Whether bfloat16 is done by the processor itself (AVX-512 BF16, AMX, GPUs since Ampere), not emulated."""
    if kind == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    can = torch.cpu.get_capabilities()
    return bool(can.get("avx512_bf16") or can.get("amx_bf16"))
