"""Faces and flow that were made elsewhere: a folder of face images, one of flow fields.

Shape letters: T steps, L flow fields of a step, P side of a crop, H, W of a field.
"""

import re
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
from numpy.lib.format import open_memmap

from pipeline.core.arrays import FloatArray, IntArray
from pipeline.extraction.encoders.flow import to_speed
from pipeline.extraction.failures import ClipError
from pipeline.extraction.sources import FLOW_SUFFIXES, IMAGE_SUFFIXES
from pipeline.extraction.video.images import Picture


def read_faces(folder: Path, *, num_steps: int, crop_px: int, with_colour: bool) -> Picture:
    """Read cropped faces, spread evenly over the images of a folder in the order of names.

    Args:
        folder: Images of faces; `face_2.png` comes before `face_10.png`.
        num_steps: Number of steps T.
        crop_px: Side P that the faces are brought to.
        with_colour: Whether RGB is wanted, or grey.

    Returns:
        Shape (t, P, P) or (t, P, P, 3), t at most T.

    Raises:
        ClipError: If there is no image, or one cannot be read.
    """
    paths = _listed(folder, IMAGE_SUFFIXES)
    mode = cv2.IMREAD_COLOR_RGB if with_colour else cv2.IMREAD_GRAYSCALE
    return np.stack(
        [_resized(_read_image(paths[number], mode), crop_px) for number in spread(paths, num_steps)]
    )


def read_flow(
    folder: Path, *, num_steps: int, num_pairs: int, crop_px: int, pair_seconds: float
) -> FloatArray:
    """Read flow fields between face crops, spread evenly over a folder in the order of names.

    Args:
        folder: `.npy` files, each a field (H, W, 2), (2, H, W), or several (F, H, W, 2), in
            pixels a frame, right and down.
        num_steps: Number of steps T.
        num_pairs: Successive fields L of a step.
        crop_px: Side P that the fields are brought to.
        pair_seconds: Time between the two frames of a field.

    Returns:
        Face widths a second, shape (t, L, P, P, 2), t at most T.

    Raises:
        ClipError: If there is no field, or one cannot be read or is no field.
    """
    paths = _listed(folder, FLOW_SUFFIXES)
    fields = [(path, index) for path in paths for index in range(_num_fields(path))]
    windows = len(fields) - num_pairs + 1
    if windows < 1:
        raise ClipError("open", f"{folder} holds {len(fields)} flow fields, {num_pairs} are needed")
    return np.stack(
        [
            np.stack(
                [
                    _speed(*fields[start + pair], crop_px=crop_px, rate=1.0 / pair_seconds)
                    for pair in range(num_pairs)
                ]
            )
            for start in spread(range(windows), num_steps)
        ]
    )


def spread(items: Iterable[object], num_steps: int) -> IntArray:
    """Return the positions of at most `num_steps` items, the centres of equal parts of all."""
    num_items = len(list(items))
    if num_items <= num_steps:
        return np.arange(num_items)
    return np.floor((np.arange(num_steps) + 0.5) * num_items / num_steps).astype(np.intp)


def _listed(folder: Path, suffixes: frozenset[str]) -> list[Path]:
    paths = [
        path
        for path in folder.iterdir()
        if path.suffix.lower() in suffixes and not path.name.startswith(".")
    ]
    if not paths:
        raise ClipError("open", f"{folder} holds no {', '.join(sorted(suffixes))} file")
    return sorted(paths, key=lambda path: _natural(path.name))


def _natural(name: str) -> list[tuple[int, str]]:
    parts = re.split(r"(\d+)", name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


def _read_image(path: Path, mode: int) -> Picture:
    # cv2 prints why it cannot open a file, and raises nothing; names may hold any character.
    encoded = np.fromfile(path, dtype=np.uint8)
    image = cv2.imdecode(encoded, mode) if encoded.size else None
    if image is None:
        raise ClipError("open", f"{path.name} is not a readable image")
    return np.asarray(image, dtype=np.uint8)


def _resized(image: Picture, side: int) -> Picture:
    if image.shape[:2] == (side, side):
        return image
    shrinks = max(image.shape[:2]) > side
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (side, side), interpolation=method), dtype=np.uint8)


def _open_field(path: Path) -> FloatArray:
    """Open one file as fields, shape (F, H, W, 2)."""
    try:
        array: FloatArray = open_memmap(path, mode="r")
    except (OSError, ValueError) as error:
        raise ClipError("open", f"{path.name} is not an array of numbers ({error})") from error
    found = array.shape
    if array.ndim == 3 and array.shape[-1] != 2 and array.shape[0] == 2:
        array = np.moveaxis(array, 0, -1)
    if array.ndim == 3:
        array = array[np.newaxis]
    if array.ndim != 4 or array.shape[-1] != 2 or array.dtype.kind not in "fi" or not array.size:
        raise ClipError(
            "open",
            f"{path.name} has shape {found} and type {array.dtype}, expected flow fields "
            f"(H, W, 2), (2, H, W) or (F, H, W, 2) of signed numbers",
        )
    return np.asarray(array)


def _num_fields(path: Path) -> int:
    return len(_open_field(path))


def _speed(path: Path, index: int, *, crop_px: int, rate: float) -> FloatArray:
    field = np.asarray(_open_field(path)[index], dtype=np.float32)
    if not np.isfinite(field).all():
        raise ClipError("open", f"{path.name} holds NaN or infinite flow")
    height, width = field.shape[:2]
    resized = cv2.resize(field, (crop_px, crop_px), interpolation=cv2.INTER_AREA)
    in_crop_px = resized * (np.array([crop_px / width, crop_px / height], dtype=np.float32))
    return to_speed(in_crop_px, rate)
