"""An extraction that is killed goes on to the same bytes."""

import hashlib
import time
from pathlib import Path

import pytest

from tests.end_to_end.faults.campaign import IS_FULL, stream
from tests.end_to_end.faults.comparing import file_names

pytest.importorskip("av", reason="the extra `video` is not installed")

from tests.extraction.drawn_videos import copy_part

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not IS_FULL, reason="only in the full campaign"),
]

NUM_KILLS = 6
KEPT = ("*.npy", "clips.csv", "failures.csv")
"""What a feature set is trained on; `features.json` holds times and paths."""


def digests(features_dir: Path) -> dict[str, str]:
    """Return the digest of each array and table of a feature set."""
    paths = [path for pattern in KEPT for path in features_dir.glob(pattern)]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def test_an_extraction_killed_six_times_gives_the_same_bytes(
    launcher, shared_data, toll_of, tmp_path
):
    toll = toll_of("SIGKILL of an extraction and its workers, then the same command")
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
    while toll.times < NUM_KILLS and time.monotonic() < deadline:
        child = launcher.start(*command("killed"), cwd=tmp_path)
        is_running = child.leave_running(random.uniform(0.3, 1.0) * undisturbed.seconds)
        child.kill_all()
        child.wait()
        if not is_running:
            break
        toll.times += 1
    ended = launcher.run(*command("killed"), cwd=tmp_path)
    toll.endings[f"status {ended.status}"] += 1
    toll.expect(ended.status == 0, ended.err)
    whole, killed = (tmp_path / name for name in ("whole", "killed"))
    expected, found = digests(whole), digests(killed)
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            toll.lose(f"{name}: other bytes")
    for name in sorted(file_names(killed) - file_names(whole)):
        toll.expect(".units/" in name and "/." not in name[1:], f"{name}: was left behind")
    toll.check()
