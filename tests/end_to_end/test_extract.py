"""`extract` with real and damaged clips, and after an interrupt."""

import json
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from pipeline.core.traits import TRAITS
from pipeline.data.feature_set import load_feature_set
from tests.end_to_end.command import in_process

pytest.importorskip("av", reason="the extra `video` is not installed")

from tests.extraction.drawn_videos import copy_part, small_copy

pytestmark = pytest.mark.slow


def finished_clips(features_dir):
    """Return the files of finished clips, without temporary files."""
    paths = features_dir.glob(".units/*/*.npz")
    return [path for path in paths if not path.name.startswith(".")]


@pytest.fixture(scope="module")
def parts(tmp_path_factory, shared_data):
    """Directory with six short clips of two people."""
    folder = tmp_path_factory.mktemp("videos")
    for clip in sorted((shared_data / "clips").glob("*.mp4")):
        for number in range(3):
            name = f"{clip.name.partition('.')[0]}.{number:03d}.mp4"
            copy_part(clip, folder / name, seconds=2 + number)
    return folder


@pytest.fixture(scope="module")
def extracted(parts, tmp_path_factory):
    """The result of an extraction with random labels, and its working directory."""
    folder = tmp_path_factory.mktemp("extracted")
    scores = {"clip_id": sorted(path.name for path in parts.iterdir())}
    scores |= {trait: np.linspace(0.2, 0.8, 6).round(3).tolist() for trait in TRAITS}
    pd.DataFrame(scores)[:4].to_csv(folder / "labels.csv", index=False)
    pd.DataFrame(scores)[4:].to_csv(folder / "more.csv", index=False)
    with in_process() as run:
        result = run(
            *("extract", "--videos_dir", parts, "--features_dir", "features"),
            *("--annotations", "labels.csv", "more.csv", "--sampling.num_steps", 4),
            cwd=folder,
        )
    return result, folder


def test_real_clips_become_a_feature_set(extracted):
    result, folder = extracted
    assert result.status == 0, result.err
    assert "6 clips (6 new, 0 from earlier calls), 0 failed" in result.out
    features = load_feature_set(folder / "features")
    assert features.streams["static"].shape == (6, 4, 512)
    assert features.streams["dynamic"].shape == (6, 4, 256)
    assert features.streams["static"].read_mask(np.arange(6)).all()
    assert len(set(features.groups)) == 2
    assert features.checked_labels().shape == (6, 5)


def test_the_same_command_extracts_no_clip_again(extracted, run_here, parts):
    _, folder = extracted
    result = run_here(
        *("extract", "--videos_dir", parts, "--features_dir", "features"),
        *("--annotations", "labels.csv,more.csv", "--sampling.num_steps", 4),
        cwd=folder,
    )
    assert result.status == 0
    assert "6 clips (0 new, 6 from earlier calls)" in result.out


def test_a_model_is_trained_on_extracted_features(extracted, run_here):
    _, folder = extracted
    result = run_here(
        *("train", "--features_dir", folder / "features", "--run_dir", "run"),
        *("--data.validation_fraction", 0.5, "--training.num_epochs", 2),
        *("--training.warmup_epochs", 1, "--tracking.enabled", "false"),
        *("--evaluation.num_resamples", 100, "--evaluation.figures", "false"),
        cwd=folder,
    )
    assert result.status == 0, result.err
    data = json.loads((folder / "run" / "data.json").read_text())
    assert data["encoder"]["name"] == "hog + rectified_flow"


def test_the_status_is_3_if_some_clips_fail_and_2_if_all_clips_fail(run_here, parts, tmp_path):
    videos = tmp_path / "videos"
    videos.mkdir()
    command = ("extract", "--videos_dir", "videos", "--num_workers", 1, "--features_dir")
    (videos / "broken.mp4").write_bytes(b"no video")
    line = run_here(*command, "none", cwd=tmp_path).error_line()
    assert "none of 1 clips could be used. The first is broken.mp4" in line

    shutil.copy(sorted(parts.iterdir())[0], videos / "good one.mp4")
    result = run_here(*command, "out", cwd=tmp_path)
    assert result.status == 3, result.err
    assert "failed: broken.mp4: is not a readable video" in result.out
    assert "1 failed" in result.out
    assert "broken.mp4,open," in (tmp_path / "out" / "failures.csv").read_text()


def test_finished_clips_are_kept_after_an_interrupt(start, run_here, parts, tmp_path):
    command = ("extract", "--videos_dir", parts, "--features_dir", "out", "--num_workers", 1)
    process = start(*command, cwd=tmp_path)
    deadline = time.monotonic() + 120
    while not finished_clips(tmp_path / "out"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 130
    assert "Give the same command to continue." in out
    assert err == "error: interrupted.\n"
    num_finished = len(finished_clips(tmp_path / "out"))
    assert 0 < num_finished < 6
    assert f"{num_finished} from earlier calls" in run_here(*command, cwd=tmp_path).out


MEASURE_MEMORY = """\
import pathlib, resource, sys
from pipeline.extraction.worker import use_one_thread; use_one_thread()
from pipeline.config.extraction import ExtractionConfig
from pipeline.extraction.clip import ClipExtractor
from pipeline.extraction.tasks import ClipSource, Job
extract = ClipExtractor(Job(config=ExtractionConfig()))
for path in sys.argv[1:]:
    clip = extract(ClipSource(clip_id="a", video=pathlib.Path(path)))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(clip.quality["duration_seconds"], clip.quality["coverage"], peak)
"""


def test_memory_does_not_grow_with_the_length_of_a_clip(tmp_path, shared_data):
    clip = small_copy(sorted((shared_data / "clips").glob("*.mp4"))[0], tmp_path / "clip.mp4")
    long = copy_part(clip, tmp_path / "long.mp4", seconds=600)
    measured = subprocess.run(
        [sys.executable, "-c", MEASURE_MEMORY, str(clip), str(clip), str(long)],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    _, short_line, long_line = measured.stdout.splitlines()
    duration, coverage, peak = map(float, long_line.split())
    assert duration > 590
    assert coverage > 0.99
    assert peak < float(short_line.split()[2]) + 60  # MB
