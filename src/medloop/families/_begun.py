"""The network that a training begins with: pretrained, of a file, or of a model learnt earlier (``from``)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import safetensors
import safetensors.torch
from safetensors import SafetensorError

from medloop.errors import InputError
from medloop.families import _saving
from medloop.families._averaged import with_network
from medloop.families._job import FitJob, Model
from medloop.families._joint_model import MultitaskModel
from medloop.families._network_model import BACKBONE, NetworkModel
from medloop.families._on_features import FeaturedModel
from medloop.networks import backbones
from medloop.networks.backbones import Backbone, BackboneSpec
from medloop.networks.classifier import Classifier
from medloop.networks.multitask import Multitask
from medloop.torch_compat import torch
from medloop.types import Target


@dataclass(frozen=True, slots=True, eq=False)
class Begun:
    """A network of a saved model: its spec, its weights, and the model itself."""

    folder: Path
    spec: BackboneSpec
    state: Mapping[str, torch.Tensor]
    model: Model


def begun(source: str) -> Begun | None:
    """The network of the model's folder ``source``; None where it is a file of weights, or nothing is said.

    Raises `InputError` where there is no such file, the model is damaged, or it has no network.
    """
    path = Path(source).expanduser()
    if not source or path.is_file():
        return None
    if not path.exists():
        raise InputError(
            "no-model",
            got=f"There is no {path} to begin with.",
            allowed="A folder of a model that medloop saved, or a file of weights (.safetensors, .pth, .pt).",
            fix="Check the path given as from.",
        )
    model, prefix = with_network(_saving.load(path))
    content = path / f"{prefix}{BACKBONE}"
    try:
        with safetensors.safe_open(content, "pt") as file:
            said = json.loads(file.metadata()["spec"])
        return Begun(path, BackboneSpec.from_json(said), safetensors.torch.load_file(content), model)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            "no-network",
            got=f"The model {path} (family {model.family}) has no network to begin with.",
            allowed="A model of the family transfer, or a file of weights.",
            fix="Name another model, or leave from out.",
        ) from error


def backbone(spec: BackboneSpec, source: str, found: Begun | None, job: FitJob) -> Backbone:
    """The backbone with the weights to begin with. Raises `InputError` where the weights are not those of ``spec``."""
    if found is not None:
        return backbones.build(replace(spec, weights="none"), state=found.state, tell=job.tell)
    return backbones.build(replace(spec, weights=source or "pretrained"), tell=job.tell)


def take_answer(net: Classifier, found: Begun, job: FitJob) -> bool:
    """Give ``net`` the last layers of the model it begins with, where they answer the same question; say so where they do not."""
    model, target = found.model, job.dataset.target
    learnt = model.input["shape"][0] if isinstance(model, NetworkModel | FeaturedModel) else job.arrays.shape[0]
    if learnt != job.arrays.shape[0]:
        job.tell.say(
            f"The model {found.folder} learnt from images of {learnt} channels, these have {job.arrays.shape[0]}: its network is "
            "shown one channel as grey, three as colour, the mean of any other number."
        )
    wanted = net.answer.state_dict()
    arrays = model.arrays if isinstance(model, NetworkModel) else {}
    same = (model.target.kind, model.target.classes) == (target.kind, target.classes)
    if same and {name: each.shape for name, each in arrays.items()} == {name: tuple(each.shape) for name, each in wanted.items()}:
        net.answer.load_state_dict({name: torch.from_numpy(arrays[name].copy()) for name in wanted})
        return True
    asked = ", ".join(model.target.classes) or model.target.name
    job.tell.say(f"The model {found.folder} answers: {asked}. Its last layers do not fit here and are made anew.")
    return False


def take_heads(net: Multitask, found: Begun, targets: Sequence[Target], job: FitJob) -> bool:
    """Give ``net`` all that the model it begins with has behind its backbone, where both answer the same; say so where they do not.

    ``targets``: the structured ones.
    """
    model = found.model
    own = {name: each for name, each in net.state_dict().items() if not name.startswith("backbone.")}
    same = isinstance(model, MultitaskModel) and (model.target, model.further) == (job.dataset.target, tuple(targets))
    arrays = model.arrays if isinstance(model, MultitaskModel) else {}
    if same and {name: each.shape for name, each in arrays.items()} == {name: tuple(each.shape) for name, each in own.items()}:
        net.load_state_dict({name: torch.from_numpy(arrays[name].copy()) for name in own}, strict=False)
        return True
    job.tell.say(f"The heads of the model {found.folder} do not fit here and are made anew.")
    return False
