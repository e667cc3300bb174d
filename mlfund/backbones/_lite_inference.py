"""The net of EfficientNet-Lite for inference: the same embeddings in less time on a CPU.

What is slow about such nets on a CPU is memory: the middle of an early block holds 5 MB an
image, and normalisation, activation and padding each pass over it. Here normalisation is part
of the weights, and blocks run in bands of rows so small that their middle stays in the cache:
a matrix product for the 1 x 1 convolutions, which with channels last in memory is all they are,
and a loop over the band for the depthwise one, which pads as it goes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mlfund.backbones._depthwise_kernel import depthwise_relu6
from mlfund.backbones._folding import folded, noise
from mlfund.backbones._threads import in_threads

# Numbers in the middle of a band: one megabyte, what the second-level cache of a core holds.
BAND_VALUES = 262_144
# Images that run through the blocks together.
AT_ONCE = 8
MOST = 6.0  # of ReLU6


class Product(nn.Module):
    """A 1 x 1 convolution of images with channels last, (..., channels), and ReLU6 or nothing."""

    weight: Tensor
    bias: Tensor

    def __init__(self, conv: nn.Conv2d, *, clamps: bool) -> None:
        super().__init__()
        assert conv.bias is not None
        self.register_buffer("weight", conv.weight.detach().flatten(1).t().contiguous())
        self.register_buffer("bias", conv.bias.detach())
        self.clamps = clamps

    def into(self, out: Tensor, images: Tensor) -> None:
        """Write the result for contiguous images into a contiguous tensor."""
        n_channels, filters = self.weight.shape
        rows = out.view(-1, filters)
        torch.addmm(self.bias, images.view(-1, n_channels), self.weight, out=rows)
        if self.clamps:
            rows.clamp_(0, MOST)


class Depthwise(nn.Module):
    """A convolution within each channel, padded as TensorFlow's "same", and ReLU6."""

    weight: Tensor
    bias: Tensor

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        assert conv.bias is not None
        # (channels, 1, kernel, kernel) to (kernel, kernel, channels)
        self.register_buffer("weight", conv.weight.detach()[:, 0].permute(1, 2, 0).contiguous())
        self.register_buffer("bias", conv.bias.detach())
        self.stride, self.kernel = conv.stride[0], conv.kernel_size[0]

    def before(self, size: int) -> int:
        """Return how many zeros the padding puts before a side."""
        last = (-(-size // self.stride) - 1) * self.stride
        return max(last + self.kernel - size, 0) // 2


class BandedBlock(nn.Module):
    """An inverted residual block that runs in bands of rows; see the module.

    Parameters
    ----------
    expand : Product or None
        To more channels.
    depthwise : Depthwise
    project : Product
        To fewer channels.
    adds : bool
        Whether the input is added to the output.
    """

    def __init__(
        self, expand: Product | None, depthwise: Depthwise, project: Product, *, adds: bool
    ) -> None:
        super().__init__()
        self.expand, self.depthwise, self.project = expand, depthwise, project
        self.adds = adds

    def forward(self, images: Tensor) -> Tensor:
        """Return images (n, height, width, filters) of contiguous ones with channels last."""
        n, height, width, _ = images.shape
        n_wide, filters = self.project.weight.shape
        stride = self.depthwise.stride
        out = images.new_empty(n, -(-height // stride), -(-width // stride), filters)
        # As many whole images as fit, or one and of that as many rows as fit.
        n_images = max(BAND_VALUES // (height * width * n_wide), 1)
        fits = height * width * n_wide <= BAND_VALUES
        n_rows = out.shape[1] if fits else max(BAND_VALUES // (width * n_wide * stride), 1)
        for k in range(0, n, n_images):
            some = slice(k, k + n_images)
            for first in range(0, out.shape[1], n_rows):
                self._band(out[some, first : first + n_rows], images[some], first)
        if self.adds:
            out += images
        return out

    def _band(self, out: Tensor, images: Tensor, first_row: int) -> None:
        """Write the rows of the result from `first_row` on: whole images, or part of one."""
        height, width = images.shape[1:3]
        loop = self.depthwise
        above, left = loop.before(height), loop.before(width)
        start = first_row * loop.stride - above
        stop = start + (out.shape[1] - 1) * loop.stride + loop.kernel
        first_seen = max(start, 0)
        seen = images[:, first_seen : min(stop, height)]
        if self.expand is not None:
            wide = seen.new_empty(*seen.shape[:3], self.expand.weight.shape[1])
            self.expand.into(wide, seen)
            seen = wide
        made = seen.new_empty(*out.shape[:3], seen.shape[3])
        depthwise_relu6(
            made,
            seen,
            loop.weight,
            loop.bias,
            stride=loop.stride,
            above=above,
            left=left,
            first_seen=first_seen,
            first_row=first_row,
        )
        self.project.into(out, made)


class LiteInference(nn.Module):
    """EfficientNet-Lite, or the lower part of it, for inference on a CPU.

    Parameters
    ----------
    net : Sequential
        As `efficientnet_lite0` returns it, with weights; it is left as it is.
        Without its head it is the stem and some stages of blocks.
    has_head : bool, default=True
    """

    def __init__(self, net: nn.Sequential, *, has_head: bool = True) -> None:
        super().__init__()
        stem, *stages = folded(net, noise(1, 3, 64, 64)).children()
        head = stages.pop() if has_head else None
        self.stem = _convolutions(stem)[0]
        self.blocks = nn.ModuleList(
            _banded(block) for stage in stages for block in stage.children()
        )
        self.head = None if head is None else Product(_convolutions(head)[0], clamps=True)

    def forward(self, images: Tensor) -> Tensor:
        """Return embeddings (n, n_features) of standardised images (n, 3, height, width).

        Without a head it is what the last block makes, (n, channels, height, width).
        """
        parts = images.split(min(AT_ONCE, max(-(-len(images) // torch.get_num_threads()), 1)))
        return torch.cat(in_threads(self._some, parts))

    def _some(self, images: Tensor) -> Tensor:
        """Return what a few images lead to."""
        stem = self.stem(images).clamp_(0, MOST)
        seen: Tensor = stem.permute(0, 2, 3, 1).contiguous()
        for block in self.blocks:
            seen = block(seen)
        if self.head is None:
            return seen.permute(0, 3, 1, 2)
        made = seen.new_empty(*seen.shape[:3], self.head.weight.shape[1])
        self.head.into(made, seen)
        return made.mean(dim=(1, 2))


class FrozenBelow(nn.Module):
    """EfficientNet-Lite in a training that leaves its lowest parts as they are.

    These run as in inference, on a CPU; elsewhere, and in other precisions, as they are.

    Parameters
    ----------
    net : Sequential
        As `efficientnet_lite0` returns it. Its parts are shared with this module.
    n_frozen : int
        Parts that are not trained, from below; at least 1, the stem, and not the head.
    """

    lower: nn.Sequential
    upper: nn.Sequential

    def __init__(self, net: nn.Sequential, n_frozen: int) -> None:
        super().__init__()
        parts = list(net)
        self.lower = nn.Sequential(*parts[:n_frozen])
        self.upper = nn.Sequential(*parts[n_frozen:])
        self._fast: LiteInference | None = None

    def forward(self, images: Tensor) -> Tensor:
        """Return embeddings of standardised images, as the net does up to rounding."""
        if images.device.type != "cpu" or torch.is_autocast_enabled("cpu"):
            below = self.lower(images)
        else:
            if self._fast is None:
                # At the first use: the net may be on its way to another device.
                self._fast = LiteInference(self.lower, has_head=False)
            below = self._fast(images)
        embeddings: Tensor = self.upper(below)
        return embeddings


def _banded(block: nn.Module) -> BandedBlock:
    *expand, depthwise, project = _convolutions(block)
    return BandedBlock(
        Product(expand[0], clamps=True) if expand else None,
        Depthwise(depthwise),
        Product(project, clamps=False),
        adds=bool(getattr(block, "adds", False)),
    )


def _convolutions(part: nn.Module) -> list[nn.Conv2d]:
    return [module for module in part.modules() if isinstance(module, nn.Conv2d)]
