from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

FeatureWriter = Callable[..., Path]


def default_files(num_clips: int = 4) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {
        "static.npy": rng.normal(size=(num_clips, 3, 2)).astype(np.float32),
        "dynamic.npy": rng.normal(size=(num_clips, 5)).astype(np.float32),
        "labels.npy": rng.uniform(size=(num_clips, 5)).astype(np.float32),
        "clips.csv": pd.DataFrame(
            {
                "clip_id": [f"v{row // 2}.{row:03d}.mp4" for row in range(num_clips)],
                "group": [f"v{row // 2}" for row in range(num_clips)],
            }
        ),
    }


@pytest.fixture
def write_files(tmp_path: Path) -> FeatureWriter:
    """Return a function that writes a valid feature set, with changes by file name.

    A change is an array, a table or text; None leaves the file out.
    """

    def write(directory: str = "features", *, num_clips: int = 4, **changes: Any) -> Path:
        features_dir = tmp_path / directory
        features_dir.mkdir(parents=True, exist_ok=True)
        named = {name.replace("__", "."): value for name, value in changes.items()}
        for name, value in {**default_files(num_clips), **named}.items():
            _write(features_dir / name, value)
        return features_dir

    return write


def _write(path: Path, value: Any) -> None:
    if isinstance(value, np.ndarray):
        np.save(path, value)
    elif isinstance(value, pd.DataFrame):
        value.to_csv(path, index=False)
    elif isinstance(value, str):
        path.write_text(value, encoding="utf-8")
