"""Every kind of backbone: maps, freezing, its own weights and no others, the same through ONNX."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import safetensors.torch

from medloop.errors import InputError
from medloop.networks import backbones, onnx, running, weights
from medloop.networks.backbones import BackboneSpec, build
from medloop.torch_compat import timm, torch

# name, side asked for, side seen, channels, reductions; fewer stages where all take long
KINDS = [
    ("tf_efficientnet_lite0", 64, 64, (16, 24, 40, 112, 320), (2, 4, 8, 16, 32)),
    ("vgg11_bn", 32, 32, (64, 128, 256), (1, 2, 4)),
    ("resnet18", 64, 64, (64, 64, 128, 256, 512), (2, 4, 8, 16, 32)),
    ("densenet121", 64, 64, (64, 256, 512), (2, 4, 8)),
    ("mobilenetv3_small_100", 64, 64, (16, 16, 24, 48, 576), (2, 4, 8, 16, 32)),
    ("convnext_atto", 64, 64, (40, 80, 160, 320), (4, 8, 16, 32)),
    ("vit_tiny_patch16_224", 70, 64, (192, 192, 192, 192), (16, 16, 16, 16)),
    ("vit_small_patch14_dinov2", 64, 70, (384, 384), (14, 14)),
]
SMALL = "test_resnet"


@pytest.fixture(scope="module")
def pretrained():
    return build(BackboneSpec(side=64))


def _pooled(maps):
    return torch.cat([each.mean(dim=(2, 3)) for each in maps], dim=1)


@pytest.mark.parametrize(("name", "side", "seen", "channels", "reductions"), KINDS, ids=[kind[0] for kind in KINDS])
def test_every_kind_gives_its_maps_and_the_same_through_onnx(pictures, name, side, seen, channels, reductions):
    start = "pretrained" if name == backbones.DEFAULT else "none"
    net = build(BackboneSpec(name, side, tuple(range(len(channels))), weights=start))
    assert (net.channels, net.reductions) == (channels, reductions)
    maps = net(torch.from_numpy(pictures[:2]))
    assert [tuple(each.shape) for each in maps] == [
        (2, many, seen // less, seen // less) for many, less in zip(channels, reductions, strict=True)
    ]
    written = onnx.write(net, pictures.shape[1:], [f"map{number}" for number in range(len(channels))])
    assert onnx.check(written, net, pictures[:3]) <= 1e-4
    for mine, theirs in zip(running.run(written, pictures[:2]), maps, strict=True):
        np.testing.assert_allclose(mine, theirs.detach().numpy(), atol=1e-4 * max(1, float(theirs.detach().abs().max())))
    blocks = net.blocks()
    assert len(blocks) >= 3
    assert sorted(id(each) for block in blocks for each in block) == sorted(id(each) for each in net.parameters())


def test_the_maps_are_those_of_timm(pictures, pretrained):
    """On pixels as its weights were trained: scaled to -1 to 1."""
    theirs = timm.create_model("tf_efficientnet_lite0", pretrained=False, features_only=True).eval()
    state, _ = weights.find("tf_efficientnet_lite0")
    theirs.load_state_dict(state, strict=False)
    large = torch.nn.functional.interpolate(torch.from_numpy(pictures).float(), (64, 64), mode="bilinear")
    for mine, expected in zip(pretrained(torch.from_numpy(pictures)), theirs(large / 127.5 - 1), strict=True):
        torch.testing.assert_close(mine, expected, rtol=1e-4, atol=1e-4)


def test_the_packaged_weights_know_cats_from_noise(pretrained):
    """With their own last layers they name what is on a photograph: the tensors are in their places."""
    from skimage.data import chelsea

    whole = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    whole.load_state_dict(weights.find("tf_efficientnet_lite0")[0])
    cat = torch.from_numpy(np.ascontiguousarray(chelsea()[:, 75:375].transpose(2, 0, 1))).float()[None] / 127.5 - 1
    cat = torch.nn.functional.interpolate(cat, (224, 224), mode="bilinear")
    best = whole(cat).softmax(dim=1).topk(5).indices[0]
    assert set(best.tolist()) & set(range(281, 286))  # tabby, tiger cat, Persian, Siamese, Egyptian cat


def test_deeper_layers_than_wanted_are_not_there(pretrained):
    short = build(BackboneSpec(side=64, stages=(0, 2)))
    assert short.channels == (16, 40)
    assert sum(each.numel() for each in short.parameters()) < 0.05 * sum(each.numel() for each in pretrained.parameters())
    assert build(BackboneSpec(SMALL, stages=(-1,), weights="none")).reductions == (32,)


@pytest.mark.parametrize("stages", [(5,), (-6,), (2, 1), (1, 1)])
def test_stages_that_are_not_there(stages):
    with pytest.raises(InputError) as caught:
        build(BackboneSpec(stages=stages, weights="none"))
    assert caught.value.code == "unknown-stage"


def test_grey_is_shown_as_three_equal_channels(pictures, pretrained):
    grey = torch.from_numpy(pictures[:, :1])
    torch.testing.assert_close(_pooled(pretrained(grey)), _pooled(pretrained(grey.repeat(1, 3, 1, 1))))
    two = torch.cat([grey, grey], dim=1)
    torch.testing.assert_close(_pooled(pretrained(grey)), _pooled(pretrained(two)))


def test_level_forgets_brightness_and_contrast(pictures):
    dark = (pictures // 3 + 20).astype(np.float32)
    change = {}
    for level in (False, True):
        net = build(BackboneSpec(side=64, level=level))
        one, other = (_pooled(net(torch.from_numpy(each))).detach() for each in (pictures, dark))
        change[level] = float((one - other).norm() / one.norm())
    assert change[True] < 0.25 * change[False]


def test_the_longer_side_is_what_was_asked_for(pretrained):
    for rows, columns in ((100, 50), (400, 10)):
        first = pretrained(torch.zeros(1, 1, rows, columns, dtype=torch.uint8))[0]
        assert first.shape[2:] == (32, 16)


def test_shrinking_averages():
    """A fine chequerboard becomes grey, whatever its phase; without averaging it would be seen as stripes."""
    board = (np.indices((224, 224)).sum(axis=0) % 2).astype(np.float32)
    seen = backbones._resized(torch.from_numpy(board)[None, None], 56, 1)
    assert seen.shape[2:] == (56, 56)
    torch.testing.assert_close(seen, torch.full_like(seen, 0.5))


def test_frozen_blocks_do_not_follow_the_data(pictures, pretrained):
    net = build(BackboneSpec(side=64))
    net.freeze(4)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    moved = _after_a_step(net, pictures, before)
    still = {
        name for name in before if name.startswith(("net.conv_stem", "net.bn1", "net.blocks.0", "net.blocks.1", "net.blocks.2"))
    }
    assert moved
    assert not moved & still
    assert {name for name in before if "running_mean" in name} - still <= moved
    net.freeze(0)
    assert "net.bn1.running_mean" in _after_a_step(net, pictures, before)


def test_batch_norm_that_follows_the_data_would_be_seen(pictures, monkeypatch):
    """Without the rule that frozen parts stay in evaluation mode, their batch norms move: the test above would fail."""
    monkeypatch.setattr(backbones, "_still", lambda net: iter(()))
    net = build(BackboneSpec(side=64))
    net.freeze(4)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    assert "net.bn1.running_mean" in _after_a_step(net, pictures, before)


def _after_a_step(net, pictures, before):
    """Names of tensors that a step of training moves."""
    net.train()
    optimiser = torch.optim.SGD([each for each in net.parameters() if each.requires_grad], lr=0.1)
    _pooled(net(torch.from_numpy(pictures))).square().mean().backward()
    optimiser.step()
    return {name for name, value in net.state_dict().items() if not torch.equal(value, before[name])}


def test_a_saved_state_gives_the_same_backbone(pictures):
    spec = BackboneSpec(SMALL, side=64, stages=(1, 3), weights="none")
    net = build(spec)
    with torch.no_grad():
        for each in net.parameters():
            each.add_(0.01)
    again = build(BackboneSpec.from_json(spec.to_json()), state=net.state_dict())
    assert again.origin is None
    pixels = torch.from_numpy(pictures)
    assert torch.equal(_pooled(net(pixels)), _pooled(again(pixels)))


def test_a_file_of_a_saved_state_is_a_start(tmp_path, pictures):
    """The layers beyond the deepest stage are not in it, and are not needed."""
    net = build(BackboneSpec(SMALL, side=64, stages=(1,), weights="none"))
    path = tmp_path / "backbone.safetensors"
    safetensors.torch.save_file(net.state_dict(), path)
    again = build(BackboneSpec(SMALL, side=64, stages=(0, 1), weights=str(path)))
    assert again.origin.source == "file"
    torch.testing.assert_close(again(torch.from_numpy(pictures))[-1], net(torch.from_numpy(pictures))[-1])
    with pytest.raises(InputError, match="are missing"):
        build(BackboneSpec(SMALL, side=64, weights=str(path)))


def test_torchvisions_names_are_understood(tmp_path, pictures):
    from torchvision.models import densenet121

    torch.manual_seed(2)
    theirs = densenet121(weights=None).eval()
    old = {key.replace(".norm1.", ".norm.1.").replace(".conv2.", ".conv.2."): value for key, value in theirs.state_dict().items()}
    torch.save(old, tmp_path / "densenet.pth")
    net = build(BackboneSpec("densenet121", side=64, weights=str(tmp_path / "densenet.pth")))
    seen = net._seen(torch.from_numpy(pictures))
    torch.testing.assert_close(net(torch.from_numpy(pictures))[-1], theirs.features(seen).relu(), rtol=1e-4, atol=1e-4)


def test_a_vits_positions_fit_another_side(tmp_path, pictures):
    torch.manual_seed(3)
    whole = timm.create_model("test_vit", pretrained=False)  # made for 160 pixels
    torch.save(whole.state_dict(), tmp_path / "vit.pth")
    net = build(BackboneSpec("test_vit", side=64, weights=str(tmp_path / "vit.pth")))
    assert net.net.pos_embed.shape[1] == 1 + 4 * 4
    same = build(BackboneSpec("test_vit", side=160, weights=str(tmp_path / "vit.pth")))
    assert torch.equal(same.net.pos_embed, whole.pos_embed)
    assert np.isfinite(_pooled(net(torch.from_numpy(pictures))).detach().numpy()).all()


@pytest.mark.parametrize(
    ("name", "of"),
    [
        ("resnet18", "resnet34"),
        ("resnet34", "resnet18"),
        ("resnet18", "test_vit"),
        ("test_vit", "test_vit2"),
        (backbones.DEFAULT, "resnet18"),
    ],
)
def test_weights_of_another_network(tmp_path, name, of):
    torch.save(timm.create_model(of, pretrained=False).state_dict(), tmp_path / "other.pth")
    with pytest.raises(InputError) as caught:
        build(BackboneSpec(name, weights=str(tmp_path / "other.pth")))
    assert caught.value.code == "wrong-weights"
    assert name in caught.value.got


def test_a_tensor_that_is_missing_is_never_random(tmp_path):
    state = timm.create_model(SMALL, pretrained=False).state_dict()
    gone = next(key for key in state if key.endswith("conv2.weight"))
    torch.save({key: value for key, value in state.items() if key != gone}, tmp_path / "less.pth")
    with pytest.raises(InputError, match=f"1 are missing.*{gone}"):
        build(BackboneSpec(SMALL, weights=str(tmp_path / "less.pth")))


def test_building_leaves_the_random_state_alone_and_does_not_follow_it():
    torch.manual_seed(1)
    one = build(BackboneSpec(SMALL, weights="none"))
    first = torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(first, torch.rand(1))
    assert weights.digest(one.state_dict()) == weights.digest(build(BackboneSpec(SMALL, weights="none")).state_dict())


@pytest.mark.parametrize("name", [backbones.DEFAULT, "resnet18"])
def test_channels_seen_by_themselves_begin_with_the_weights_of_colours(tmp_path, pictures, name):
    state = timm.create_model(name, pretrained=False).state_dict()
    torch.save(state, tmp_path / "own.pth")
    spec = BackboneSpec(name, side=48, stages=(0, 1), weights=str(tmp_path / "own.pth"))
    plain, net = build(spec), build(dataclasses.replace(spec, channels=6))
    twice = torch.from_numpy(np.concatenate([pictures, pictures], axis=1))
    for mine, theirs in zip(net(twice), plain(twice[:, :3]), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-3)
    other = twice.clone()
    other[:, 4] = 0
    assert not torch.allclose(net(other)[0], net(twice)[0], atol=1e-3)
    again = build(dataclasses.replace(spec, channels=6, weights="none"), state=net.state_dict())
    assert torch.equal(again(other)[1], net(other)[1])
    begun = build(dataclasses.replace(spec, channels=6, weights="none"), state=plain.state_dict())
    assert torch.equal(begun(other)[1], net(other)[1])
    with pytest.raises(InputError, match="another shape"):
        build(dataclasses.replace(spec, channels=2, weights="none"), state=net.state_dict())


def test_each_channel_is_levelled_by_itself():
    pixels = torch.randint(0, 256, (2, 2, 32, 32), generator=torch.Generator().manual_seed(0)).float()
    net = build(BackboneSpec(SMALL, side=32, level=True, weights="none", channels=2))
    changed = pixels * torch.tensor([0.5, 0.9]).reshape(1, 2, 1, 1) + torch.tensor([9.0, 20.0]).reshape(1, 2, 1, 1)
    assert torch.allclose(net(pixels)[0], net(changed)[0], atol=0.1)


def test_slices_seen_together_begin_with_the_middle_one_as_a_grey_picture():
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 3, 32, 32), dtype=np.uint8))
    grey, together = (build(BackboneSpec(side=32, stages=(0, 2), channels=each)) for each in (0, 3))
    wanted = grey(pixels[:, 1:2])
    assert not torch.allclose(together(pixels)[0], wanted[0], atol=1e-3), "colours, each a slice"
    backbones.centre(together, 3)
    for found, each in zip(together(pixels), wanted, strict=True):
        torch.testing.assert_close(found, each, atol=1e-4, rtol=1e-4)
    contrasts = build(BackboneSpec(side=32, stages=(0,), channels=6))
    backbones.centre(contrasts, 3)
    shown = pixels.repeat(1, 2, 1, 1)
    other = shown.clone()
    other[:, [0, 1, 4, 5]] = 0
    torch.testing.assert_close(contrasts(shown)[0], contrasts(other)[0])
    other[:, 3] = 0
    assert not torch.allclose(contrasts(shown)[0], contrasts(other)[0])
