"""An encoder with a linear layer on top, of which a part is trained and the rest is not."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from mlfund._engine.groups import RateGroup
from mlfund.backbones import BackboneSource, Encoder, ImageEncoder
from mlfund.backbones._groups import LooseTensors
from mlfund.nets.convnet import ReadPixels


class TransferNet(nn.Module):
    """From inputs through an encoder to raw scores.

    What is frozen stays bit for bit: its parameters get no gradient, and it is in evaluation
    mode whatever `train` is told. Batch and instance normalisation of the encoder keep the
    statistics of its pretraining, trained or not: those of small batches of few rows are worse,
    and rows would depend on each other.

    Parameters
    ----------
    encoder : Encoder
        From inputs to embeddings.
    n_outputs : int
        Raw scores of a row. They are 0 to begin with.

    Attributes
    ----------
    scale : Tensor of shape ()
        What embeddings are multiplied with before they reach the head, see `set_scale`.
    """

    scale: Tensor

    def __init__(self, encoder: Encoder, n_outputs: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.register_buffer("scale", torch.ones(()))
        self.head = nn.Linear(encoder.n_features, n_outputs)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self._frozen: list[nn.Module] = []
        # In a tuple, so that layers it shares with `encoder` are not registered twice.
        self._in_training: tuple[Encoder] = (encoder,)

    @property
    def pixels(self) -> ReadPixels:
        """How rows become images."""
        assert isinstance(self.encoder, ImageEncoder)
        return self.encoder.pixels

    def freeze_below(self, n_trained: int) -> None:
        """Train the head and the `n_trained` topmost groups of the encoder, and nothing else.

        Parameters of these that require no gradient, as under adapters, are left so.
        """
        groups = self.encoder.groups()
        self._frozen = groups[: len(groups) - n_trained]
        for group in self._frozen:
            group.requires_grad_(False)
        self._in_training = (self.encoder.with_frozen_below(len(self._frozen)),)
        self.train(self.training)

    def train(self, mode: bool = True) -> TransferNet:
        """Set the mode of what is not frozen."""
        super().train(mode)
        for group in self._frozen:
            group.eval()
        for module in self.encoder.modules():
            if isinstance(module, _NormBase):
                module.eval()
        return self

    def trained_names(self) -> list[str]:
        """Return the names, in the state, of all that training may change.

        These are parameters with a gradient, and buffers outside of what is frozen: modules of
        one's own keep counters and averages there.
        """
        trained = {name for name, p in self.named_parameters() if p.requires_grad}
        parameters = {name for name, _ in self.named_parameters(remove_duplicate=False)}
        # Whoever has parts of which some are trained is in training mode, with loose tensors that
        # are in a frozen group.
        frozen = {
            id(buffer)
            for group in self._frozen
            for module in group.modules()
            if not isinstance(module, LooseTensors)
            for buffer in module.buffers(recurse=False)
        }
        return [
            name
            for name, tensor in self.state_dict(keep_vars=True).items()
            if name in trained or (name not in parameters and id(tensor) not in frozen)
        ]

    def rate_groups(
        self, backbone_share: float, layer_decay: float, first_epochs: list[int] | None = None
    ) -> list[RateGroup]:
        """Return the groups that are trained, head first, then from the top down.

        Parameters
        ----------
        backbone_share : float
            Rate of the topmost group as a share of that of the head.
        layer_decay : float
            Rate of a group as a share of that of the group above it.
        first_epochs : list of int, optional
            Epochs that end before each group of the encoder is trained, from the top down.
        """
        found = [RateGroup((self.head,))]
        trained = reversed(self.encoder.groups()[len(self._frozen) :])
        for depth, group in enumerate(trained):
            first = 0 if first_epochs is None else first_epochs[depth]
            found.append(RateGroup((group,), backbone_share * layer_decay**depth, first))
        return found

    @torch.no_grad()
    def set_scale(self, X: Tensor) -> None:
        """Bring the embeddings of X to a root mean square of 1.

        A step of Adam moves a score by the learning rate times the sum of the features: without
        this a rate that suits one backbone would do next to nothing on another, whose embeddings
        have a length of 1. Rows are not scaled one by one, as their lengths may say something.
        """
        self.eval()
        size = self.encoder(X).float().square().mean().sqrt()
        if torch.isfinite(size) and size > 0:
            self.scale.copy_(1 / size)

    @torch.no_grad()
    def set_head(self, coef: np.ndarray, intercept: np.ndarray) -> None:
        """Give the head the weights of a linear model on embeddings."""
        coef = np.asarray(coef) / float(self.scale)
        self.head.weight.copy_(torch.from_numpy(np.array(coef, dtype=np.float32)))
        self.head.bias.copy_(torch.from_numpy(np.array(intercept, dtype=np.float32)))

    def forward(self, X: Tensor) -> Tensor:
        """Return raw scores, (n, n_outputs)."""
        if X.ndim == 4:
            X = self.pixels.read(X)
        # Predictions are those of a net that was loaded, to the bit: nothing is frozen there.
        encoder = self._in_training[0] if self.training else self.encoder
        raw: Tensor = self.head(self.scale * encoder(X).to(self.head.weight.dtype))
        return raw


def load_encoder(source: BackboneSource, image_size: tuple[int, int] | None) -> Encoder:
    """Return a fresh copy of a backbone, for images of a size if one is given."""
    encoder = source.load()
    if image_size is None:
        return encoder
    assert isinstance(encoder, ImageEncoder)
    return encoder.with_size(*image_size)


def build_net(
    source: BackboneSource,
    n_outputs: int,
    image_size: tuple[int, int] | None = None,
    lora_rank: int | None = None,
    seed: int = 0,
    encoder: Encoder | None = None,
) -> TransferNet:
    """Return a net over a fresh copy of the backbone, all of it to be trained, on the CPU.

    Parameters
    ----------
    source : BackboneSource
        Where the weights come from.
    n_outputs : int
        Raw scores of a row.
    image_size : (int, int), optional
        Height and width of images, if not those of the backbone.
    lora_rank : int, optional
        Rank of the adapters that are trained in place of the weights of a text model.
    seed : int, default=0
        Of the adapters.
    encoder : Encoder, optional
        What `load_encoder` returned, where that was needed before; the net takes it over.
    """
    if encoder is None:
        encoder = load_encoder(source, image_size)
    if lora_rank is not None:
        from mlfund.backbones._lora import with_lora
        from mlfund.backbones._text_encoder import TransformerEncoder

        if not isinstance(encoder, TransformerEncoder):
            raise ValueError(
                "strategy='lora' puts adapters into a transformer, and the backbone "
                f"{type(encoder).__name__} is none; choose another strategy."
            )
        encoder = with_lora(encoder, rank=lora_rank, seed=seed)
    return TransferNet(encoder, n_outputs)
