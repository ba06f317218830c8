"""Where training happens, and in which precision."""

import pytest
import torch

from medloop.errors import InputError
from medloop.learning import devices
from medloop.learning.devices import Place, place


@pytest.fixture
def machine(monkeypatch):
    """A function that makes torch see so many GPUs, and a CPU with or without bfloat16."""

    def make(gpus=0, **cpu):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: True)
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: cpu)

    return make


@pytest.mark.parametrize(
    ("device", "gpus", "wanted"),
    [
        ("auto", 0, Place("cpu")),
        ("cpu", 2, Place("cpu")),
        ("cpu*2", 0, Place("cpu", processes=2)),
        ("auto", 2, Place("cuda", bf16=True)),
        ("cuda:1", 2, Place("cuda", 1, bf16=True)),
        ("cuda*2", 2, Place("cuda", processes=2, bf16=True)),
    ],
)
def test_devices_by_name(machine, device, gpus, wanted):
    machine(gpus)
    assert place(device) == wanted


@pytest.mark.parametrize(("device", "gpus"), [("cuda", 0), ("cuda:1", 1), ("cuda*2", 1)])
def test_a_gpu_that_is_absent_is_an_error(machine, device, gpus):
    machine(gpus)
    with pytest.raises(InputError) as error:
        place(device)
    assert error.value.code == "no-such-gpu"
    assert "auto or cpu" in error.value.fix


@pytest.mark.parametrize("device", ["gpu", "", "cuda:x", "cpu:1", "cuda*0", "cuda:1*2", "CPU"])
def test_what_is_no_device_is_an_error(machine, device):
    machine(2)
    with pytest.raises(InputError) as error:
        place(device)
    assert error.value.code == "unknown-device"


@pytest.mark.parametrize(("cpu", "wanted"), [({}, False), ({"avx512_bf16": True}, True), ({"amx_bf16": True}, True)])
def test_bfloat16_where_the_processor_has_it(machine, cpu, wanted):
    machine(**cpu)
    assert place("cpu").bf16 is wanted
    assert place("cpu", "bf16").bf16
    assert not place("cpu", "32").bf16


def test_in_words():
    assert Place("cpu").text == "CPU, float32"
    assert Place("cuda", 1, bf16=True).text == "GPU 1, bfloat16"
    assert Place("cpu", processes=2).text == "CPU, 2 processes, float32"


def test_one_process_on_the_cpu_of_this_machine():
    assert (Place("cpu").fabric().world_size, str(Place("cpu").fabric().device)) == (1, "cpu")
    assert devices.has_bf16("cpu") in (True, False)
