"""Leakage-safe preprocessing: all statistics come from the rows given to fit."""

from mlfund.preprocessing.image_folders import load_image_folder
from mlfund.preprocessing.images import ImageScaler
from mlfund.preprocessing.pixel_rows import PixelRows
from mlfund.preprocessing.table import TablePreprocessor

__all__ = ["ImageScaler", "PixelRows", "TablePreprocessor", "load_image_folder"]
