"""Image files: read upright with eight bits a channel, by several threads."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from numbers import Integral
from typing import IO, Any, TypeVar

import numpy as np

Result = TypeVar("Result")

# Images that a thread takes at a time: handing one over costs 30 microseconds, reading one of
# 28 x 28 pixels little more. Of few images, as many as keep all threads busy to the end.
BLOCK, BLOCKS_A_THREAD = 16, 4
# A JPEG file that will be made smaller is decoded at 1/2, 1/4 or 1/8 of its sides, of which at
# least so many times the wanted ones remain; antialiased resizing does the rest. Pillow names 2
# as the gap from which the result is close to that of all pixels.
LEAST_GAP = 2


def image_sides(size: Any) -> tuple[int, int]:
    """Return height and width of a user's `size`, which may be one integer for both."""
    both = (int(size),) * 2 if isinstance(size, Integral) else tuple(np.ravel(size).tolist())
    if len(both) != 2 or not all(isinstance(side, int) and side > 0 for side in both):
        raise ValueError(f"size must be (height, width), or one integer for both; got {size!r}.")
    return both


def read_image(file: str | os.PathLike[str] | IO[bytes], size: Sequence[int] | None = None) -> Any:
    """Return the image of a file as it is meant: upright, in Pillow's mode L or RGB.

    Parameters
    ----------
    file : str, path-like or file object
    size : (int, int), optional
        Height and width that it will get. Of a JPEG file with more than twice as many pixels a
        side, fewer are then decoded, which saves most of the time for large photographs.

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
        return eight_bits(opened)


def eight_bits(image: Any) -> Any:
    """Return an image of mode L or RGB; transparency is left out."""
    from PIL import Image

    if image.mode in ("L", "RGB"):
        image.load()
        return image
    if image.mode in ("1", "LA", "La"):
        return image.convert("L")
    if image.mode.startswith("I;16"):
        # Pillow would cut 16 bits off at 255.
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        # Pillow would cut these off at 255 too, and fractions at 0.
        raise ValueError("its pixels have 32 bits, which do not say what is white; save 8 or 16")
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("RGB")


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
