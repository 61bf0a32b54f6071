"""The file of one clip: its features, written whole, found again by a later run.

A file is used again only if the settings, the clip's files and the format are those it was
made with. It is read without unpickling.
"""

import hashlib
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

from pipeline.core.files import write_arrays
from pipeline.extraction.clip import ClipFeatures
from pipeline.extraction.sources import ClipSource

_FORMAT: Final = 2
_ARRAYS: Final = ("static", "static_mask", "dynamic", "dynamic_mask", "seconds", "boxes")


def unit_path(units_dir: Path, clip_id: str) -> Path:
    """Return where the file of a clip is: its name is a digest, so no id leads elsewhere."""
    digest = hashlib.sha256(clip_id.encode("utf-8", "surrogateescape")).hexdigest()
    return units_dir / digest[:2] / f"{digest[2:26]}.npz"


def fingerprint(source: ClipSource, settings: Mapping[str, Any]) -> str:
    """Return a digest of what decides the features of a clip.

    Files count by size and time of change, folders by those of what they hold: reading
    every video again would cost as much as the extraction.
    """
    files = []
    for path in source.paths:
        for file in sorted(path.iterdir()) if path.is_dir() else [path]:
            state = file.stat()
            files.append((file.name, state.st_size, state.st_mtime_ns))
    text = json.dumps([_FORMAT, source.clip_id, files, settings], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def write_unit(path: Path, features: ClipFeatures, *, made_with: str) -> None:
    """Write the features of a clip, atomically.

    Args:
        path: Where to.
        features: What to write.
        made_with: The clip's `fingerprint`.
    """
    arrays = {name: getattr(features, name) for name in _ARRAYS}
    facts = {
        "fingerprint": made_with,
        "quality": features.quality,
        "warnings": features.warnings,
    }
    arrays["facts"] = np.frombuffer(json.dumps(facts).encode(), dtype=np.uint8)
    if features.strip is not None:
        arrays["strip"] = cv2.imencode(".png", features.strip)[1]
    write_arrays(path, arrays)


def read_unit(path: Path) -> ClipFeatures:
    """Read what `write_unit` wrote."""
    with np.load(path, allow_pickle=False) as file:
        facts = json.loads(file["facts"].tobytes())
        strip = file.get("strip")
        return ClipFeatures(
            **{name: file[name] for name in _ARRAYS},
            quality=facts["quality"],
            warnings=facts["warnings"],
            strip=None if strip is None else cv2.imdecode(strip, cv2.IMREAD_COLOR),
        )


def is_done(path: Path, *, made_with: str, needs_strip: bool) -> bool:
    """Return whether the file of a clip is there, whole, and made with this fingerprint."""
    try:
        with np.load(path, allow_pickle=False) as file:
            facts = json.loads(file["facts"].tobytes())
            if facts["fingerprint"] != made_with or (needs_strip and "strip" not in file):
                return False
            for name in _ARRAYS:
                file[name]  # whose checksum is looked at as it is read
            return True
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return False  # missing, or not ours: made again
