import numpy as np
import pandas as pd
import pytest

from pipeline.api.features import extract, prepare
from pipeline.core.errors import ConfigError
from pipeline.core.traits import TRAITS


@pytest.fixture
def files(own_directory):
    """One file of features per clip, and a table of scores from 1 to 5."""
    faces = own_directory / "faces"
    faces.mkdir()
    names = [f"person{number // 2}_{number}" for number in range(6)]
    for number, name in enumerate(names):
        np.save(faces / f"{name}.npy", np.full((4, 3), number, dtype=np.float32))
    table = pd.DataFrame({"clip": names, **dict.fromkeys(TRAITS, 3)})
    table["openness"] = [1, 2, 3, 4, 5, 5]
    table.to_csv(own_directory / "likert.csv", index=False)
    return own_directory


def test_a_feature_set_is_prepared_from_files_and_a_label_table(files):
    result = prepare(
        "features", {"face": "faces"}, labels="likert.csv", label_range=(1, 5), groups="prefix"
    )
    assert result.shapes == {"face": (6, 4, 3)}
    assert result.clips["group"].nunique() == 3
    assert result.labels is not None
    assert result.labels["openness"].tolist() == [0.0, 0.25, 0.5, 0.75, 1.0, 1.0]
    assert "6 clips, 3 groups" in repr(result).splitlines()[0]


def test_columns_of_an_unknown_stream_are_an_error(files):
    with pytest.raises(ConfigError, match="no stream faec"):
        prepare("features", {"face": "faces"}, columns={"faec": ["AU*"]})


@pytest.mark.slow
def test_a_feature_set_is_extracted_from_videos(own_directory, shared_data, monkeypatch):
    pytest.importorskip("av", reason="the extra `video` is not installed")
    from pipeline.extraction import run as extraction
    from pipeline.extraction.worker import build_work
    from tests.extraction.drawn_videos import copy_part

    # Starting worker processes takes long.
    in_process = lambda job, tasks, **_: map(build_work(job), tasks)  # noqa: E731
    monkeypatch.setattr(extraction, "run_tasks", in_process)
    (own_directory / "videos").mkdir()
    clip = next((shared_data / "clips").glob("*.mp4"))
    copy_part(clip, own_directory / "videos" / "anna_1.mp4", seconds=2)
    (own_directory / "videos" / "ben_1.mp4").write_bytes(b"no video")
    settings = {"sampling.num_steps": 4}
    result = extract("features", videos_dir="videos", settings=settings)
    assert result.shapes["static"][:2] == (1, 4)
    assert result.labels is None
    (failed,) = result.failed
    assert failed.startswith("ben_1.mp4: is not a readable video")
    assert "failed" in repr(result)
