"""From what a user gives as `backbone` to where its weights come from."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from typing import Any

from torch import nn

from mlfund._check import check_choice, nearest
from mlfund.backbones._backbone import Backbone
from mlfund.backbones._hugging_face import HuggingFaceText
from mlfund.backbones._image_text import ImageTextBackbone, is_image_text_folder
from mlfund.backbones._own import OwnBackbone
from mlfund.backbones._source import BackboneSource
from mlfund.backbones._timm import TimmBackbone
from mlfund.backbones._torch_modules import TorchBackbone
from mlfund.backbones._torchvision import TorchvisionBackbone
from mlfund.backbones.efficientnet_lite import EfficientNetLite0

KINDS = ("image", "text")
# Sources by the name that users give. They are values: nothing is read or imported for them.
NAMED: dict[str, BackboneSource] = {
    "all-MiniLM-L6-v2": HuggingFaceText("all-MiniLM-L6-v2"),
    "efficientnet_lite0": EfficientNetLite0(),
}
# Libraries of models: "timm:NAME".
LIBRARIES: dict[str, Callable[[str], BackboneSource]] = {
    "timm": TimmBackbone,
    "torchvision": TorchvisionBackbone,
}


def get_backbone(given: Any, kind: str | None = None, *, download: bool = False) -> BackboneSource:
    """Return the source of a backbone.

    Parameters
    ----------
    given : str, Backbone, torch.nn.Module or BackboneSource
        A name (``"efficientnet_lite0"``, ``"all-MiniLM-L6-v2"``), a model of a library
        (``"timm:NAME"``, ``"torchvision:NAME"``), the folder of a text model of Hugging Face or
        its name on the hub (``"OWNER/MODEL"``), the folder of a model of images and texts (CLIP),
        what `export_backbone` of an encoder returned, a module that makes embeddings of images
        as `TorchBackbone` describes, or a source.
    kind : {"image", "text"} or None, default=None
        What the backbone has to take; None allows both.
    download : bool, default=False
        Whether weights that are not on this machine may be downloaded.

    Returns
    -------
    source : BackboneSource

    Raises
    ------
    ValueError
        If the name is not known, or the backbone takes something else.

    Examples
    --------
    >>> from mlfund.backbones import get_backbone
    >>> get_backbone("timm:resnet18.a1_in1k", "image", download=True).download
    True
    >>> get_backbone("efficientnet_lite", "image")
    Traceback (most recent call last):
        ...
    ValueError: backbone='efficientnet_lite' is not known... Did you mean 'efficientnet_lite0'?
    """
    source = _source_of(given, kind)
    if kind is not None and source.kind != check_choice("kind", kind, KINDS):
        raise ValueError(
            f"backbone={given!r} takes {source.kind}s, and a backbone of {kind}s is needed here; "
            f"give one of {_names_of(kind)}, or a model of your own."
        )
    if download and any(field.name == "download" for field in dataclasses.fields(source)):
        return dataclasses.replace(source, **{"download": True})
    return source


def _source_of(given: Any, kind: str | None) -> BackboneSource:
    if isinstance(given, BackboneSource):
        return given
    if isinstance(given, Backbone):
        return OwnBackbone(given)
    if isinstance(given, nn.Module):
        return TorchBackbone(given)
    if isinstance(given, str | os.PathLike):
        return _of_name(os.fspath(given), kind)
    name = given.__name__ if isinstance(given, type) else type(given).__name__
    if hasattr(given, "export_backbone"):
        raise ValueError(
            f"backbone={name}(...) is an encoder, whose weights clone and searches would drop; fit "
            "it, and give backbone=encoder.export_backbone()."
        )
    raise ValueError(
        f"backbone must be a name, a model of timm or torchvision, a torch module or an mlfund "
        f"Backbone; got {name}."
    )


def _of_name(name: str, kind: str | None) -> BackboneSource:
    if name in NAMED:
        return NAMED[name]
    library, colon, model = name.partition(":")
    if colon and library in LIBRARIES:
        return LIBRARIES[library](model)
    if is_image_text_folder(name):
        return ImageTextBackbone(name)
    if kind == "image":
        _refuse_missing_folder(name)
    if "/" in name or os.sep in name or os.path.isdir(os.path.expanduser(name)):
        return HuggingFaceText(name)
    raise ValueError(
        f"backbone={name!r} is not known; allowed are {', '.join(map(repr, NAMED))}, 'timm:NAME', "
        "'torchvision:NAME', for texts a folder or 'OWNER/MODEL', and for images the folder of a "
        f"CLIP model.{_hint(name, kind)}"
    )


def _refuse_missing_folder(name: str) -> None:
    """Refuse a path where there is no model; of texts, it may be the name of one on the hub."""
    path = os.path.expanduser(name)
    if os.path.isfile(os.path.join(path, "config.json")):
        return
    if os.path.isdir(path):
        what = "there is no config.json in it"
    elif os.path.exists(path):
        what = "it is a file"
    elif "/" in name or os.sep in name:
        what = "there is no such folder"
    else:
        return
    raise ValueError(
        f"backbone={name!r} is no folder of a model: {what}; images take the folder of a CLIP "
        f"model that you have downloaded, 'timm:NAME', 'torchvision:NAME', or {_names_of('image')}."
    )


def _hint(name: str, kind: str | None) -> str:
    """Return what a name that is not known may have been meant to be, or nothing."""
    suggestion = nearest(name, NAMED)
    if suggestion:
        return f" Did you mean {suggestion!r}?"
    # Libraries have a thousand names, which are not looked up for a message.
    if kind != "text" and name.isidentifier():
        return f" Models of libraries are given as {' or '.join(_in_libraries(name))}."
    return ""


def _in_libraries(name: str) -> list[str]:
    return [repr(f"{library}:{name}") for library in LIBRARIES]


def _names_of(kind: str) -> str:
    return ", ".join(repr(name) for name, source in NAMED.items() if source.kind == kind)
