"""Real clips, and what looks at them."""

from pathlib import Path

import pytest

av = pytest.importorskip("av", reason="the extra `video` is not installed")
pytest.importorskip("mtcnn", reason="the extra `video` is not installed")

import cv2  # noqa: E402
import numpy as np  # noqa: E402

from pipeline.config.extraction import ExtractionConfig  # noqa: E402
from pipeline.extraction.observation import VideoObserver  # noqa: E402


@pytest.fixture(scope="session")
def clips(shared_data) -> list[Path]:
    """The real clips."""
    return sorted((shared_data / "clips").glob("*.mp4"))


@pytest.fixture(scope="session")
def face_frames(clips) -> list[np.ndarray]:
    """48 successive frames of a real clip, RGB, 640 x 360."""
    with av.open(str(clips[0])) as container:
        return [
            frame.reformat(width=640, height=360, format="rgb24").to_ndarray()
            for _, frame in zip(range(48), container.decode(video=0), strict=False)
        ]


@pytest.fixture(scope="session")
def observe() -> VideoObserver:
    """What looks at videos, with the default settings."""
    cv2.setNumThreads(1)
    return VideoObserver(ExtractionConfig(), static_px=112, with_colour=False)
