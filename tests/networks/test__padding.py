from __future__ import annotations

import onnx as format_
import pytest

from medloop.networks import onnx, running
from medloop.networks._padding import settle
from medloop.torch_compat import timm, torch

Conv2dSame = timm.layers.Conv2dSame


@pytest.mark.parametrize("size", [(31, 32), (32, 33), (7, 64)])
@pytest.mark.parametrize(("kernel", "stride", "dilation"), [(3, 2, 1), (5, 2, 1), (3, 1, 2), (2, 3, 1), (1, 2, 1)])
def test_settled_convolutions_answer_the_same(size, kernel, stride, dilation):
    torch.manual_seed(0)
    values = torch.randn(2, 4, *size)
    net = torch.nn.Sequential(
        Conv2dSame(4, 6, kernel, stride=stride, dilation=dilation),
        torch.nn.Sequential(Conv2dSame(6, 6, kernel, stride=stride, groups=3, bias=False)),
    )
    expected = net(values)
    settle(net, values)
    assert not any(
        isinstance(part, Conv2dSame) and name.count(".") < 2 for name, part in net.named_modules() if "convolution" not in name
    )
    torch.testing.assert_close(net(values), expected)


def test_no_sums_are_left_in_the_graph():
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.first = Conv2dSame(3, 4, 3, stride=2)

        def forward(self, pixels):
            return self.first(pixels.float())

    net = Net()
    written = onnx.write(net, (3, 32, 31), ["map"])
    kinds = [node.op_type for node in format_.load_from_string(written).graph.node]
    assert kinds == ["Cast", "Conv"]
    assert isinstance(net.first, Conv2dSame)
    pixels = torch.randint(0, 255, (2, 3, 32, 31), dtype=torch.uint8)
    torch.testing.assert_close(torch.from_numpy(running.run(written, pixels.numpy())[0]), net(pixels), rtol=1e-4, atol=1e-3)
