"""`extract` as a user runs it: on real clips, on broken ones, interrupted, and trained on."""

import json
import shutil
import signal
import time

import numpy as np
import pandas as pd
import pytest

from pipeline.core.traits import TRAITS
from pipeline.data.feature_set import load_feature_set

pytest.importorskip("av", reason="the extra `video` is not installed")

from tests.extraction.drawn_videos import copy_part, small_copy

pytestmark = pytest.mark.slow


def done_clips(features_dir):
    """Return the files of clips that are done; hidden ones are still being written."""
    paths = features_dir.glob(".units/*/*.npz")
    return [path for path in paths if not path.name.startswith(".")]


@pytest.fixture(scope="module")
def parts(tmp_path_factory, shared_data):
    """Six short clips of two people."""
    folder = tmp_path_factory.mktemp("videos")
    for clip in sorted((shared_data / "clips").glob("*.mp4")):
        for number in range(3):
            name = f"{clip.name.partition('.')[0]}.{number:03d}.mp4"
            copy_part(clip, folder / name, seconds=2 + number)
    return folder


@pytest.fixture(scope="module")
def extracted(run, parts, tmp_path_factory):
    folder = tmp_path_factory.mktemp("extracted")
    scores = {"clip_id": sorted(path.name for path in parts.iterdir())}
    scores |= {
        trait: np.linspace(0.2, 0.8, 6).round(3).tolist() for trait in TRAITS
    }  # drawn, not measured
    pd.DataFrame(scores)[:4].to_csv(folder / "labels.csv", index=False)
    pd.DataFrame(scores)[4:].to_csv(folder / "more.csv", index=False)
    finished = run(
        *("extract", "--videos_dir", parts, "--features_dir", "features"),
        *("--annotations", "labels.csv", "more.csv", "--sampling.num_steps", 4),
        cwd=folder,
    )
    return finished, folder


def test_real_clips_become_a_feature_set(extracted):
    finished, folder = extracted
    assert (finished.status, finished.err) == (0, "")
    assert "6 clips (6 new, 0 from before), 0 failed" in finished.out
    features = load_feature_set(folder / "features")
    assert features.static.shape == (6, 4, 512)
    assert features.dynamic.shape == (6, 4, 256)
    assert features.static.read_mask(np.arange(6)).all()
    assert len(set(features.groups)) == 2
    assert features.checked_labels().shape == (6, 5)


def test_the_same_command_again_does_nothing(extracted, run, parts):
    _, folder = extracted
    began = time.monotonic()
    finished = run(
        *("extract", "--videos_dir", parts, "--features_dir", "features"),
        *("--annotations", "labels.csv,more.csv", "--sampling.num_steps", 4),
        cwd=folder,
    )
    assert finished.status == 0
    assert "6 clips (0 new, 6 from before)" in finished.out
    assert time.monotonic() - began < 30


def test_a_model_trains_on_what_was_extracted(extracted, run_here):
    _, folder = extracted
    finished = run_here(
        *("train", "--features_dir", folder / "features", "--run_dir", "run"),
        *("--data.validation_fraction", 0.5, "--training.num_epochs", 2),
        *("--training.warmup_epochs", 1, "--tracking.enabled", "false"),
        *("--evaluation.num_resamples", 100, "--evaluation.figures", "false"),
        cwd=folder,
    )
    assert finished.status == 0, finished.err
    data = json.loads((folder / "run" / "data.json").read_text())
    assert data["encoder"]["name"] == "hog + rectified_flow"


def test_clips_that_fail_are_said_and_the_status_is_3(run, parts, tmp_path):
    videos = tmp_path / "videos"
    videos.mkdir()
    shutil.copy(sorted(parts.iterdir())[0], videos / "good one.mp4")
    (videos / "broken.mp4").write_bytes(b"no video")
    finished = run(
        *("extract", "--videos_dir", "videos", "--features_dir", "out", "--num_workers", 1),
        cwd=tmp_path,
    )
    assert (finished.status, finished.err) == (3, "")
    assert "failed: broken.mp4: is not a readable video" in finished.out
    assert "1 failed" in finished.out
    assert "broken.mp4,open," in (tmp_path / "out" / "failures.csv").read_text()


def test_when_all_clips_fail_the_status_is_2(run, tmp_path):
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "broken.mp4").write_bytes(b"no video")
    finished = run("extract", "--videos_dir", "videos", "--features_dir", "out", cwd=tmp_path)
    assert finished.status == 2
    (line,) = finished.err.splitlines()
    assert "none of 1 clips could be used; the first, broken.mp4" in line


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ([], "extract needs --features_dir"),
        (["--features_dir", "out"], "needs --videos_dir"),
        (["--features_dir", "out", "--videos_dir", "none"], "none: does not exist"),
        (["--features_dir", "out", "--videos_dir", "x", "--num_workers", "two"], "whole number"),
        (["--features_dir", "out", "--videos_dir", "x", "--shard", "2"], "must be i/n"),
        (["--features_dir", "out", "--videos_dir", "x", "--faces.crop", "1"], "faces.crop_px"),
        (
            ["--features_dir", "out", "--videos_dir", "x", "--static.encoder", "resnet50"],
            "static.weights must be given",
        ),
    ],
    ids=lambda value: "" if isinstance(value, str) else " ".join(value),
)
def test_what_is_wrong_is_said_in_a_line(argv, words, run_here, tmp_path):
    finished = run_here("extract", *argv, cwd=tmp_path)
    assert finished.status == 2
    (line,) = finished.err.splitlines()
    assert words in line
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_keeps_what_is_done_and_says_how_to_go_on(start, run, parts, tmp_path):
    command = ("extract", "--videos_dir", parts, "--features_dir", "out", "--num_workers", 1)
    process = start(*command, cwd=tmp_path)
    deadline = time.monotonic() + 120
    while not done_clips(tmp_path / "out"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command goes on with the others" in out
    assert err == "error: interrupted.\n"
    num_done = len(done_clips(tmp_path / "out"))
    assert 0 < num_done < 6
    assert f"{num_done} from before" in run(*command, cwd=tmp_path).out


def test_memory_does_not_grow_with_the_length_of_a_clip(tmp_path, shared_data):
    """Ten minutes take hardly more than fifteen seconds do."""
    import subprocess
    import sys

    clip = small_copy(sorted((shared_data / "clips").glob("*.mp4"))[0], tmp_path / "clip.mp4")
    long = copy_part(clip, tmp_path / "long.mp4", seconds=600)
    program = (
        "import resource, sys, pathlib\n"
        "from pipeline.extraction.worker import use_one_thread; use_one_thread()\n"
        "from pipeline.config.extraction import ExtractionConfig\n"
        "from pipeline.extraction.clip import ClipExtractor\n"
        "from pipeline.extraction.tasks import ClipSource, Job\n"
        "extract = ClipExtractor(Job(config=ExtractionConfig()))\n"
        "for path in sys.argv[1:]:\n"
        "    clip = extract(ClipSource(clip_id='a', video=pathlib.Path(path)))\n"
        "    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024\n"
        "    print(clip.quality['duration_seconds'], clip.quality['coverage'], peak)\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", program, str(clip), str(clip), str(long)],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    _, short_line, long_line = finished.stdout.splitlines()
    duration, coverage, peak = map(float, long_line.split())
    assert duration > 590
    assert coverage > 0.99
    assert peak < float(short_line.split()[2]) + 60  # megabytes
