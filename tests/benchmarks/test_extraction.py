"""The benchmark of the extraction runs and prints plausible numbers."""

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow


def test_the_benchmark_compares_extraction_with_a_full_decode(tmp_path, shared_data, repository):
    pytest.importorskip("av", reason="the extra `video` is not installed")
    from tests.extraction.drawn_videos import small_copy

    small_copy(sorted((shared_data / "clips").glob("*.mp4"))[0], tmp_path / "clip.mp4")
    finished = subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks.extraction", "--videos_dir", str(tmp_path)),
            *("--num_repeats", "1", "--clips_per_worker", "3"),
        ],
        cwd=repository,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert finished.returncode == 0, finished.stderr
    measured = json.loads(finished.stdout)
    ratio = measured["extraction_cpu_ms"] / measured["full_decode_cpu_ms"]
    assert measured["extraction_over_full_decode"] == pytest.approx(ratio, rel=0.01)
    stages = ("timeline", "wanted_frames", "images", "faces", "crops_and_flow", "encoders")
    parts = [measured[f"{stage}_cpu_ms"] for stage in (*stages, "write")]
    assert min(parts) > 0
    # Each stage is measured once, so other processes affect the times strongly.
    assert 0.6 < sum(parts) / measured["extraction_cpu_ms"] < 1.7
    assert measured["two_workers_over_one"] > 0
