"""The quick layers of the articles' nets are the layers that they replace."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from karat.nets.article import LeakyDropout, ThinConv2d, ThinConvTranspose2d, WaveConv2d


def off(got: Tensor, wanted: Tensor) -> float:
    """Root mean square error, as a share of what was wanted."""
    return float(((got.float() - wanted).square().mean() / wanted.square().mean()).sqrt())


@pytest.mark.parametrize(("size", "kernel"), [((7, 7), 5), ((6, 9), 5), ((8, 4), 3)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_convolution_through_its_spectrum_is_the_convolution(size, kernel, layout):
    torch.manual_seed(0)
    layer = WaveConv2d(6, 10, kernel, 1, kernel // 2, bias=False).to(memory_format=layout)
    x = torch.randn(4, 6, *size, requires_grad=True)
    wanted = F.conv2d(x, layer.weight, None, 1, kernel // 2)
    slope = torch.randn_like(wanted)
    slopes = torch.autograd.grad(wanted, [x, layer.weight], slope)
    y = layer(x)
    assert off(y.detach(), wanted.detach()) < 1e-5
    for got, truth in zip(torch.autograd.grad(y, [x, layer.weight], slope), slopes, strict=True):
        assert off(got, truth) < 1e-5
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x)
    assert y.dtype == torch.bfloat16 and off(y.detach(), wanted.detach()) < 0.01
    for got, truth in zip(torch.autograd.grad(y, [x, layer.weight], slope.bfloat16()), slopes, strict=True):
        assert got.dtype == torch.float32 and off(got, truth) < 0.01


@pytest.mark.parametrize("channels", [1, 3])
def test_a_thin_convolution_can_be_differentiated_twice(channels):
    torch.manual_seed(0)
    layer = ThinConv2d(channels, 8, 5, 2, 2)
    x = torch.randn(4, channels, 14, 10, requires_grad=True)

    def penalised(y: Tensor) -> tuple[Tensor, ...]:
        (slope,) = torch.autograd.grad(y.pow(3).sum(), x, create_graph=True)
        return torch.autograd.grad(slope.square().sum() + y.sum(), [x, layer.weight, layer.bias])

    wanted = penalised(F.conv2d(x, layer.weight, layer.bias, 2, 2))
    for got, truth in zip(penalised(layer(x)), wanted, strict=True):
        assert off(got, truth) < 1e-5


@pytest.mark.parametrize("channels", [1, 3])
def test_a_thin_transposed_convolution_is_the_transposed_convolution(channels):
    torch.manual_seed(0)
    layer = ThinConvTranspose2d(8, channels, 5, 2, 2, 1, bias=False)
    x = torch.randn(4, 8, 7, 5, requires_grad=True)
    wanted = F.conv_transpose2d(x, layer.weight, None, 2, 2, 1)
    y = layer(x)
    assert y.shape == (4, channels, 14, 10) and off(y.detach(), wanted.detach()) < 1e-5
    slope = torch.randn_like(wanted)
    truths = torch.autograd.grad(wanted, [x, layer.weight], slope)
    for got, truth in zip(torch.autograd.grad(y, [x, layer.weight], slope), truths, strict=True):
        assert off(got, truth) < 1e-5


def test_dropout_drops_its_rate_keeps_the_mean_and_follows_the_seed():
    layer = LeakyDropout(0.3, 0.3)
    x = torch.ones(16, 8, 31, 33).to(memory_format=torch.channels_last)
    torch.manual_seed(1)
    y = layer(x)
    torch.manual_seed(1)
    assert torch.equal(y, layer(x))
    assert abs(float((y == 0).float().mean()) - 0.3) < 0.01
    assert abs(float(y.mean()) - 1) < 0.01
    assert torch.equal(layer.eval()(-x), -0.3 * x)
