"""A killed extraction gives identical bytes if it is repeated."""

import hashlib
import time
from pathlib import Path

import pytest

from tests.end_to_end.faults.campaign import only_full, stream
from tests.end_to_end.faults.comparing import file_names

pytest.importorskip("av", reason="the extra `video` is not installed")

from tests.extraction.drawn_videos import copy_part

pytestmark = [pytest.mark.slow, only_full]

NUM_KILLS = 6
COMPARED = ("*.npy", "clips.csv", "failures.csv")
"""Files that do not contain times or paths, unlike `features.json`."""


def hashes(features_dir: Path) -> dict[str, str]:
    """Return file name -> hash for the arrays and tables of a feature set."""
    paths = [path for pattern in COMPARED for path in features_dir.glob(pattern)]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def test_an_extraction_killed_six_times_gives_identical_bytes(
    launcher, shared_data, new_outcome, tmp_path
):
    outcome = new_outcome("SIGKILL of an extraction and its workers, then the same command")
    videos = tmp_path / "videos"
    videos.mkdir()
    for clip in sorted((shared_data / "clips").glob("*.mp4")):
        for number in range(4):
            name = f"{clip.name.partition('.')[0]}.{number:03d}.mp4"
            copy_part(clip, videos / name, seconds=2 + number % 2)

    def command(name: str) -> tuple[object, ...]:
        return (
            *("extract", "--videos_dir", videos, "--features_dir", name),
            *("--sampling.num_steps", 4, "--num_workers", 2),
        )

    undisturbed = launcher.run(*command("whole"), cwd=tmp_path)
    assert undisturbed.status == 0, undisturbed.err
    random = stream("extraction")
    deadline = time.monotonic() + 300
    while outcome.times < NUM_KILLS and time.monotonic() < deadline:
        child = launcher.start(*command("killed"), cwd=tmp_path)
        is_running = child.leave_running(random.uniform(0.3, 1.0) * undisturbed.seconds)
        child.kill_all()
        child.wait()
        if not is_running:
            break
        outcome.times += 1
    ended = launcher.run(*command("killed"), cwd=tmp_path)
    outcome.expect_status(ended, 0, case="extract")
    whole, killed = (tmp_path / name for name in ("whole", "killed"))
    expected, found = hashes(whole), hashes(killed)
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            outcome.add_lost(f"{name}: the bytes differ")
    for name in sorted(file_names(killed) - file_names(whole)):
        outcome.expect(".units/" in name and "/." not in name[1:], f"{name}: is unexpected")
    outcome.check()
