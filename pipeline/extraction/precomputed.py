"""Read face images and flow fields written by other tools.

Shape letters: T = num_steps, L = num_pairs, P = crop_px; F fields of size (H, W) per file.
"""

import re
from pathlib import Path

import cv2
import numpy as np
from numpy.lib.format import open_memmap

from pipeline.core.arrays import FloatArray, IntArray
from pipeline.extraction.faces.alignment import to_face_widths
from pipeline.extraction.sources import FLOW_SUFFIXES, IMAGE_SUFFIXES
from pipeline.extraction.tasks import ClipError
from pipeline.extraction.video.images import Image


def read_faces(folder: Path, *, num_steps: int, crop_px: int, with_colour: bool) -> Image:
    """Sort the images of a folder by name; read evenly spaced images as face crops.

    Numbers in names are compared as numbers: `face_2.png` comes before `face_10.png`.

    Returns:
        Grey crops, shape (t, P, P), or RGB crops, shape (t, P, P, 3), with t at most T.

    Raises:
        ClipError: If the folder contains no image, or an image cannot be read.
    """
    paths = _list_files(folder, IMAGE_SUFFIXES)
    mode = cv2.IMREAD_COLOR_RGB if with_colour else cv2.IMREAD_GRAYSCALE
    chosen = [paths[number] for number in evenly_spaced(len(paths), num_steps)]
    return np.stack([_resize(_read_image(path, mode), crop_px) for path in chosen])


def read_flow(
    folder: Path, *, num_steps: int, num_pairs: int, crop_px: int, pair_seconds: float
) -> FloatArray:
    """Sort the files of a folder by name; read evenly spaced windows of L successive flow fields.

    Each `.npy` file contains one field (H, W, 2) or (2, H, W), or F fields (F, H, W, 2). The values
    are displacements in pixels from one frame to the next, to the right and down. `pair_seconds` is
    the time between these two frames.

    Returns:
        Flow in face widths per second, shape (t, L, P, P, 2), with t at most T.

    Raises:
        ClipError: If there are too few fields, or a file does not contain valid fields.
    """
    paths = _list_files(folder, FLOW_SUFFIXES)
    fields = [(path, index) for path in paths for index in range(len(_open_fields(path)))]
    num_windows = len(fields) - num_pairs + 1
    if num_windows < 1:
        reason = f"{folder} contains {len(fields)} flow fields, but {num_pairs} are needed"
        raise ClipError("open", reason)
    steps = [fields[start : start + num_pairs] for start in evenly_spaced(num_windows, num_steps)]
    rate = 1.0 / pair_seconds
    speeds = [
        np.stack([_read_speeds(*field, crop_px=crop_px, rate=rate) for field in step])
        for step in steps
    ]
    return np.stack(speeds)


def evenly_spaced(num_items: int, num_steps: int) -> IntArray:
    """Return the indices of at most `num_steps` evenly spaced items of a list."""
    if num_items <= num_steps:
        return np.arange(num_items)
    return np.floor((np.arange(num_steps) + 0.5) * num_items / num_steps).astype(np.intp)


def _list_files(folder: Path, suffixes: frozenset[str]) -> list[Path]:
    found = (path for path in folder.iterdir() if not path.name.startswith("."))
    paths = [path for path in found if path.suffix.lower() in suffixes]
    if not paths:
        raise ClipError("open", f"{folder} contains no {', '.join(sorted(suffixes))} file")
    return sorted(paths, key=_natural_key)


def _natural_key(path: Path) -> list[tuple[int, str]]:
    parts = re.split(r"(\d+)", path.name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


def _read_image(path: Path, mode: int) -> Image:
    # `cv2.imread` is not used, because it prints errors and cannot open some file names.
    encoded = np.fromfile(path, dtype=np.uint8)
    image = cv2.imdecode(encoded, mode) if encoded.size else None
    if image is None:
        raise ClipError("open", f"{path.name} is not a readable image")
    return np.asarray(image, dtype=np.uint8)


def _resize(image: Image, side: int) -> Image:
    method = cv2.INTER_AREA if max(image.shape[:2]) > side else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (side, side), interpolation=method), dtype=np.uint8)


def _open_fields(path: Path) -> FloatArray:
    try:
        array: FloatArray = open_memmap(path, mode="r")
    except (OSError, ValueError) as error:
        raise ClipError("open", f"{path.name} is not an array of numbers ({error})") from error
    shape = array.shape
    if array.ndim == 3 and array.shape[-1] != 2 and array.shape[0] == 2:
        array = np.moveaxis(array, 0, -1)
    if array.ndim == 3:
        array = array[np.newaxis]
    if array.ndim != 4 or array.shape[-1] != 2 or array.dtype.kind not in "fi" or not array.size:
        raise ClipError(
            "open",
            f"{path.name} must contain flow fields (H, W, 2), (2, H, W) or (F, H, W, 2) of signed "
            f"numbers, but has shape {shape} and type {array.dtype}",
        )
    return np.asarray(array)


def _read_speeds(path: Path, index: int, *, crop_px: int, rate: float) -> FloatArray:
    field = np.asarray(_open_fields(path)[index], dtype=np.float32)
    if not np.isfinite(field).all():
        raise ClipError("open", f"{path.name} contains NaN or infinite flow")
    height, width = field.shape[:2]
    resized = cv2.resize(field, (crop_px, crop_px), interpolation=cv2.INTER_AREA)
    in_crop_px = resized * (np.array([crop_px / width, crop_px / height], dtype=np.float32))
    return to_face_widths(in_crop_px, rate)
