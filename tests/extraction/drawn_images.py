"""Images that tests write with an orientation in their EXIF data."""

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np


def write_image(path: Path, picture: np.ndarray, *, orientation: int) -> Path:
    """Write a BGR picture as JPEG, PNG or WebP, to be shown by an EXIF orientation, 1 to 8."""
    plain = cv2.imencode(path.suffix, picture)[1].tobytes()
    path.write_bytes(_WRITERS[path.suffix](plain, _exif(orientation), picture.shape))
    return path


def _exif(orientation: int) -> bytes:
    entry = struct.pack(">HHIHH", 0x0112, 3, 1, orientation, 0)
    return b"MM\0*" + struct.pack(">IH", 8, 1) + entry + bytes(4)


def _jpeg(plain: bytes, exif: bytes, shape: tuple[int, ...]) -> bytes:
    del shape
    content = b"Exif\0\0" + exif
    return plain[:2] + b"\xff\xe1" + struct.pack(">H", len(content) + 2) + content + plain[2:]


def _png(plain: bytes, exif: bytes, shape: tuple[int, ...]) -> bytes:
    del shape
    chunk = b"eXIf" + exif
    header = 33  # bytes of the signature and of the first chunk
    length, check = struct.pack(">I", len(exif)), struct.pack(">I", zlib.crc32(chunk))
    return plain[:header] + length + chunk + check + plain[header:]


def _webp(plain: bytes, exif: bytes, shape: tuple[int, ...]) -> bytes:
    height, width = (struct.pack("<I", side - 1)[:3] for side in shape[:2])
    header = b"VP8X" + struct.pack("<II", 10, 0x08) + width + height
    body = b"WEBP" + header + plain[12:] + b"EXIF" + struct.pack("<I", len(exif)) + exif
    return b"RIFF" + struct.pack("<I", len(body)) + body


_WRITERS = {".jpg": _jpeg, ".png": _png, ".webp": _webp}
