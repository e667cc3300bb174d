"""Image files: read upright and on white with eight bits a channel, by several threads."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from numbers import Integral
from typing import IO, Any, NamedTuple, TypeVar

import numpy as np

from mlfund._check import stacklevel_outside
from mlfund.preprocessing._image_units import FROM_16_BITS, LEAST_LIGHT

Result = TypeVar("Result")

# Images that a thread takes at a time: handing one over costs 30 microseconds, reading one of
# 28 x 28 pixels little more. Of few images, as many as keep all threads busy to the end.
BLOCK, BLOCKS_A_THREAD = 16, 4
# A JPEG file that will be made smaller is decoded at 1/2, 1/4 or 1/8 of its sides, of which at
# least so many times the wanted ones remain; antialiased resizing does the rest. Pillow names 2
# as the gap from which the result is close to that of all pixels.
LEAST_GAP = 2
# Pillow's modes of one channel, beside those of 16 bits: the others are read as colours.
GREY_MODES = ("1", "L", "LA", "La")
# Orientations of EXIF that exchange height and width.
LYING = (5, 6, 7, 8)
# Bits that cameras and scanners put into files of 16.
USUAL_BITS = (8, 10, 12, 14)


class Header(NamedTuple):
    """What a file says of its image before the pixels.

    Attributes
    ----------
    size : (int, int)
        Height and width, upright. A PNG file may say after its pixels that it is to be turned,
        which is not seen here.
    is_grey : bool
    """

    size: tuple[int, int]
    is_grey: bool


def image_sides(size: Any, name: str = "size") -> tuple[int, int]:
    """Return height and width of what a parameter says, which may be one integer for both."""
    both = (int(size),) * 2 if isinstance(size, Integral) else tuple(np.ravel(size).tolist())
    if len(both) != 2 or not all(isinstance(side, int) and side > 0 for side in both):
        raise ValueError(f"{name} must be (height, width), or one integer for both; got {size!r}.")
    return both


def read_header(file: str | os.PathLike[str]) -> Header:
    """Return what an image file says before its pixels, which are not decoded.

    Parameters
    ----------
    file : str or path-like

    Returns
    -------
    header : Header

    Raises
    ------
    Exception
        Of many kinds, whatever Pillow's readers meet; see `reason_of`.
    """
    from PIL import ExifTags, Image

    with Image.open(file) as opened:
        width, height = opened.size
        # Of TIFF files Pillow says the upright size; of PNG files it would decode all first.
        if opened.format not in ("TIFF", "PNG"):
            held = opened.getexif().get(ExifTags.Base.Orientation)
            width, height = (height, width) if held in LYING else (width, height)
        return Header((height, width), opened.mode in GREY_MODES or opened.mode.startswith("I;16"))


def read_image(
    file: str | os.PathLike[str] | IO[bytes],
    size: Sequence[int] | None = None,
    deep: list[int] | None = None,
) -> Any:
    """Return the image of a file as it is meant: upright, on white, in Pillow's mode L or RGB.

    Parameters
    ----------
    file : str, path-like or file object
    size : (int, int), optional
        Height and width that it will get. Of a JPEG file with more than twice as many pixels a
        side, fewer are then decoded, which saves most of the time for large photographs.
    deep : list of int, optional
        Gets the largest pixel of an image of 16 bits, for `warn_of_dark_files`.

    Returns
    -------
    image : PIL.Image.Image

    Raises
    ------
    Exception
        Of many kinds, whatever Pillow's readers meet; see `reason_of`.
    """
    from PIL import Image, ImageOps

    with Image.open(file) as opened:
        if size is not None:
            # Both sides the longer one: the camera may have been turned.
            side = LEAST_GAP * max(size)
            opened.draft(None, (side, side))
        # Cameras write how they were held beside the pixels.
        ImageOps.exif_transpose(opened, in_place=True)
        return eight_bits(opened, deep)


def eight_bits(image: Any, deep: list[int] | None = None) -> Any:
    """Return an image of mode L or RGB, on white where it is transparent.

    Parameters
    ----------
    image : PIL.Image.Image
    deep : list of int, optional
        See `read_image`.
    """
    from PIL import Image

    image.load()
    if image.mode.startswith("I;16"):
        pixels = np.asarray(image)
        if deep is not None:
            deep.append(int(pixels.max()))
        # Pillow would cut 16 bits off at 255.
        return Image.fromarray((pixels >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        # Pillow would cut these off at 255 too, and fractions at 0.
        raise ValueError("its pixels have 32 bits, which do not say what is white; save 8 or 16")
    if image.has_transparency_data:
        return _on_white(image)
    if image.mode in ("L", "RGB"):
        return image
    return image.convert("L" if image.mode in GREY_MODES else "RGB")


def _on_white(image: Any) -> Any:
    """Return an image as it looks on paper; what is opaque stays as it is, to the bit."""
    from PIL import Image

    mode = "L" if image.mode in GREY_MODES else "RGB"
    # What an image hides is often black, as is what people draw on it.
    seen = image.convert("LA" if mode == "L" else "RGBA")
    paper = Image.new(mode, image.size, "white")
    paper.paste(seen.convert(mode), mask=seen.getchannel("A"))
    return paper


def warn_of_dark_files(deep: Sequence[int], n: int) -> None:
    """Warn once where all images of 16 bits are nearly black: they may hold fewer bits.

    Parameters
    ----------
    deep : sequence of int
        The largest pixel of each image of 16 bits, as `read_image` collects them.
    n : int
        Number of all images.
    """
    largest = max(deep, default=0)
    if not 0 < largest < LEAST_LIGHT << 8:
        return
    bits = next(usual for usual in USUAL_BITS if largest < 1 << usual)
    warnings.warn(
        f"The largest pixel of the images with 16 bits ({len(deep)} of {n}) is {largest}, nearly "
        f"black on the scale of {FROM_16_BITS} that they are read in; if their numbers have {bits} "
        f"bits, multiply these by {1 << 16 - bits} and save the files again.",
        UserWarning,
        stacklevel=stacklevel_outside(),
    )


def reason_of(error: Exception) -> str:
    """Return why an image could not be read, for the brackets of a sentence."""
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__


def in_threads(
    function: Callable[[int], Result], n: int, n_jobs: int | None = None
) -> list[Result]:
    """Return ``[function(0), ..., function(n - 1)]``, computed by several threads.

    Pillow's readers and filters, hashes and NumPy's loops leave Python to other threads.

    Parameters
    ----------
    function : callable
        Of a place.
    n : int
    n_jobs : int, optional
        Threads, -1 for one a core. None takes as many as torch computes with, which workers of
        joblib keep to their share of the cores.

    Raises
    ------
    Exception
        The one of the first place that failed; no others are begun then.
    """
    threads = min(_n_threads(n_jobs), n)
    if threads <= 1:
        return [function(place) for place in range(n)]
    size = max(1, min(BLOCK, n // (BLOCKS_A_THREAD * threads)))

    def block(start: int) -> list[Result]:
        return [function(place) for place in range(start, min(start + size, n))]

    with ThreadPoolExecutor(threads) as pool:
        blocks = [pool.submit(block, start) for start in range(0, n, size)]
        try:
            return [result for one in blocks for result in one.result()]
        except BaseException:  # Ctrl-C too should not wait for all the others
            pool.shutdown(cancel_futures=True)
            raise


def _n_threads(n_jobs: int | None) -> int:
    if n_jobs is None:
        import torch

        return torch.get_num_threads()
    if not isinstance(n_jobs, Integral) or isinstance(n_jobs, bool) or n_jobs == 0:
        raise ValueError(f"n_jobs must be an integer other than 0, or None; got {n_jobs!r}.")
    from joblib import effective_n_jobs

    return int(effective_n_jobs(int(n_jobs)))
