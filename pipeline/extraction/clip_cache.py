"""Read and write the cached features of single clips.

With cached features, a stopped extraction can be continued. A cache file is reused only if its
fingerprint matches. The fingerprint depends on the settings, the clip files and the cache format.
Cache files are written atomically and read without pickle.
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
from pipeline.extraction.tasks import ClipSource, Task

_FORMAT: Final = 2
_ARRAYS: Final = ("static", "static_mask", "dynamic", "dynamic_mask", "seconds", "boxes")


def cache_path(cache_dir: Path, clip_id: str) -> Path:
    """Return the cache path of a clip. Clip ids may be invalid as file names, so a hash is used."""
    name = hashlib.sha256(clip_id.encode("utf-8", "surrogateescape")).hexdigest()
    return cache_dir / name[:2] / f"{name[2:26]}.npz"


def clip_fingerprint(source: ClipSource, settings: Mapping[str, Any]) -> str:
    """Return a hash of all inputs that determine the features of a clip.

    Because reading videos is slow, only name, size and modification time of files are hashed.
    """
    files = []
    for path in filter(None, (source.video, source.face_dir, source.flow_dir)):
        for file in sorted(path.iterdir()) if path.is_dir() else [path]:
            state = file.stat()
            files.append((file.name, state.st_size, state.st_mtime_ns))
    text = json.dumps([_FORMAT, source.clip_id, files, settings], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def write_cached_clip(task: Task, features: ClipFeatures) -> None:
    """Write the features and the fingerprint of a clip."""
    arrays = {name: getattr(features, name) for name in _ARRAYS}
    facts = {
        "fingerprint": task.fingerprint,
        "quality": features.quality,
        "warnings": features.warnings,
    }
    arrays["facts"] = np.frombuffer(json.dumps(facts).encode(), dtype=np.uint8)
    if features.strip is not None:
        arrays["strip"] = cv2.imencode(".png", features.strip)[1]
    write_arrays(task.path, arrays)


def read_cached_clip(path: Path) -> ClipFeatures:
    """Read a file written by `write_cached_clip`."""
    with np.load(path, allow_pickle=False) as file:
        facts = json.loads(file["facts"].tobytes())
        strip = file.get("strip")
        return ClipFeatures(
            **{name: file[name] for name in _ARRAYS},
            quality=facts["quality"],
            warnings=facts["warnings"],
            strip=None if strip is None else cv2.imdecode(strip, cv2.IMREAD_COLOR),
        )


def is_cached(task: Task) -> bool:
    """Return True if the cache file of a task is complete and its fingerprint matches."""
    try:
        with np.load(task.path, allow_pickle=False) as file:
            facts = json.loads(file["facts"].tobytes())
            has_strip = "strip" in file or not task.with_strip
            if facts["fingerprint"] != task.fingerprint or not has_strip:
                return False
            for name in _ARRAYS:
                file[name]  # reading verifies the checksum
            return True
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return False
