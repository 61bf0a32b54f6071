"""Real clips, and features for tests without videos."""

from pathlib import Path

import pytest

av = pytest.importorskip("av", reason="the extra `video` is not installed")
pytest.importorskip("mtcnn", reason="the extra `video` is not installed")

import cv2  # noqa: E402
import numpy as np  # noqa: E402

from pipeline.config.extraction import ExtractionConfig  # noqa: E402
from pipeline.extraction.clip import ClipFeatures  # noqa: E402
from pipeline.extraction.observation import VideoObserver  # noqa: E402
from pipeline.extraction.tasks import ClipSource  # noqa: E402
from tests.extraction.drawn_videos import write_video  # noqa: E402


@pytest.fixture(scope="session")
def clips(shared_data) -> list[Path]:
    """Paths of the real clips."""
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
def half(tmp_path_factory, face_frames) -> Path:
    """A video with a face in its first half only."""
    blank = [np.full_like(face_frames[0], 90)] * 24
    return write_video(tmp_path_factory.mktemp("half") / "a.mp4", face_frames[:24] + blank)


@pytest.fixture(scope="session")
def observe() -> VideoObserver:
    """An observer with the default settings."""
    cv2.setNumThreads(1)
    return VideoObserver(ExtractionConfig(), static_px=112, with_colour=False)


@pytest.fixture
def make_features():
    """Return a function that builds the features of one clip."""

    def make(value=1.0, **changes):
        features = {
            "static": np.full((2, 3), value, dtype=np.float32),
            "static_mask": np.array([True, False]),
            "dynamic": np.full((2, 2), -value, dtype=np.float32),
            "dynamic_mask": np.array([True, True]),
            "seconds": np.array([0.5, np.nan]),
            "boxes": np.zeros((2, 4)),
            "quality": {"sharpness": value, "variable_rate": False},
            "warnings": [],
            "strip": None,
        }
        return ClipFeatures(**{**features, **changes})

    return make


@pytest.fixture
def make_sources(tmp_path):
    """Return a function that creates small files and returns them as clips."""

    def make(*names):
        for name in names:
            (tmp_path / name).write_bytes(b"x")
        return [ClipSource(clip_id=name, video=tmp_path / name) for name in names]

    return make
