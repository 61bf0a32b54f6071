from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest


@pytest.fixture
def write_files(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a valid feature set, with changes by file name.

    A change is an array, a table or text; None leaves the file out.
    """

    def write(directory: str = "features", *, num_clips: int = 4, **changes: Any) -> Path:
        features_dir = tmp_path / directory
        features_dir.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(0)
        groups = [f"v{row // 2}" for row in range(num_clips)]
        ids = [f"{group}.{row:03d}.mp4" for row, group in enumerate(groups)]
        files = {
            "static__npy": rng.normal(size=(num_clips, 3, 2)).astype(np.float32),
            "dynamic__npy": rng.normal(size=(num_clips, 5)).astype(np.float32),
            "labels__npy": rng.uniform(size=(num_clips, 5)).astype(np.float32),
            "clips__csv": pd.DataFrame({"clip_id": ids, "group": groups}),
            **changes,
        }
        for name, value in files.items():
            path = features_dir / name.replace("__", ".")
            if isinstance(value, np.ndarray):
                np.save(path, value)
            elif isinstance(value, pd.DataFrame):
                value.to_csv(path, index=False)
            elif value is not None:
                path.write_text(value, encoding="utf-8")
        return features_dir

    return write
