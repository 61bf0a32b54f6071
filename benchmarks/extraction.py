"""Compare feature extraction with a full decode, and two workers with one worker.

    python -m benchmarks.extraction --videos_dir DIR [--num_repeats 5] [--clips_per_worker 12]

The benchmark measures the CPU time per clip of a full decode (PyAV, no conversion), of the whole
extraction with default settings, and of each extraction stage. It also prints ratios, because
absolute times depend on the machine. Each process uses one thread.
"""

import argparse
import itertools
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pipeline.config.extraction import ExtractionConfig
from pipeline.extraction.sources import find_videos
from pipeline.extraction.tasks import ClipSource, Job, Task

JOB = Job(config=ExtractionConfig())


def main() -> None:
    """Run the benchmark and print the results as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos_dir", type=Path, required=True)
    parser.add_argument("--num_repeats", type=int, default=5)
    parser.add_argument("--clips_per_worker", type=int, default=12)
    arguments = parser.parse_args()
    videos = find_videos(arguments.videos_dir).by_id
    with tempfile.TemporaryDirectory() as directory:
        # Measure the workers first, because the stages change the threads of this process.
        scaling = measure_workers(videos, Path(directory), arguments.clips_per_worker)
        stages = measure_stages(videos, Path(directory), arguments.num_repeats)
    print(json.dumps({**stages, **scaling}, indent=2))


def measure_stages(videos: Mapping[str, Path], directory: Path, num_repeats: int) -> dict[str, Any]:
    """Return the median CPU time per clip in ms from interleaved repeats, and ratios."""
    from pipeline.extraction.worker import build_work

    work = build_work(JOB)

    def extract(task: Task) -> None:
        assert (result := work(task)).is_done, result

    stages = Stages(directory)
    samples: dict[str, dict[str, list[float]]] = {}
    for repeat in range(num_repeats + 1):
        for clip_id, video in videos.items():
            task = build_task(clip_id, video, directory / "clip.npz")
            steps: dict[str, Callable[[], object]] = {
                "full_decode": lambda video=video: decode_everything(video),
                "extraction": lambda task=task: extract(task),
                **stages.calls(video),
            }
            for name, step in steps.items():
                seconds = cpu_seconds(step)
                if repeat:  # the first repeat includes tracing and cold caches
                    samples.setdefault(name, {}).setdefault(clip_id, []).append(seconds)
    by_clip = {
        clip_id: round(sum(seconds) / sum(samples["full_decode"][clip_id]), 3)
        for clip_id, seconds in samples["extraction"].items()
    }
    milliseconds = {
        f"{name}_cpu_ms": round(1000 * statistics.median(itertools.chain(*clips.values())), 1)
        for name, clips in samples.items()
    }
    extraction, full = (
        sum(map(sum, samples[name].values())) for name in ("extraction", "full_decode")
    )
    return {
        **milliseconds,
        "extraction_over_full_decode": round(extraction / full, 3),
        "extraction_over_full_decode_by_clip": by_clip,
    }


class Stages:
    """Stages of an extraction. The input of a stage is the output of the previous stage."""

    def __init__(self, directory: Path) -> None:
        from pipeline.extraction.clip import ClipExtractor
        from pipeline.extraction.encoders.encoders import (
            build_dynamic_encoder,
            build_static_encoder,
        )
        from pipeline.extraction.faces.detection import FaceDetector
        from pipeline.extraction.observation import FlowEstimator

        config = JOB.config
        self._path = directory / "stage.npz"
        self._extract = ClipExtractor(JOB)
        self._detect = FaceDetector(min_confidence=config.faces.min_confidence)
        self._flow = FlowEstimator()
        self._encoders = build_static_encoder(config), build_dynamic_encoder(config)

    def calls(self, video: Path) -> dict[str, Callable[[], object]]:
        """Return stage name -> function to measure, for one video."""
        from pipeline.extraction.clip_cache import write_cached_clip
        from pipeline.extraction.video.decode import iterate_frames
        from pipeline.extraction.video.sampling import choose_instants, choose_windows
        from pipeline.extraction.video.video import read_timeline

        sampling = JOB.config.sampling
        timeline = read_timeline(video)
        instants = choose_instants(timeline.seconds, sampling.num_steps)
        windows = choose_windows(
            timeline.seconds, instants, num_pairs=1, pair_seconds=sampling.pair_seconds
        )
        shown = set(timeline.pts[instants].tolist())
        wanted = set(timeline.pts[windows].ravel().tolist())

        def decode() -> None:
            for _ in iterate_frames(video, timeline.codec, wanted):
                pass

        frames = list(iterate_frames(video, timeline.codec, wanted))
        images = convert_frames(frames, shown)
        small = [images[pts].small for pts in timeline.pts[instants].tolist()]
        steps = [
            (face[0], [images[pts].grey for pts in timeline.pts[window].tolist()], window)
            for face, window in zip(self._detect(small), windows, strict=True)
            if face
        ]
        crops, speeds = self._crops_and_flow(steps, timeline.seconds)
        features = self._extract(ClipSource(clip_id=video.name, video=video))
        return {
            "timeline": lambda: read_timeline(video),
            "wanted_frames": decode,
            "images": lambda: convert_frames(frames, shown),
            "faces": lambda: self._detect(small),
            "crops_and_flow": lambda: self._crops_and_flow(steps, timeline.seconds),
            "encoders": lambda: (self._encoders[0](crops), self._encoders[1](speeds)),
            "write": lambda: write_cached_clip(build_task("", video, self._path), features),
        }

    def _crops_and_flow(self, steps: list[Any], seconds: Any) -> tuple[Any, Any]:
        import numpy as np

        from pipeline.extraction.faces.alignment import crop_transform, cut

        crop_px = JOB.config.faces.crop_px
        crops, speeds = [], []
        for face, greys, window in steps:
            transform = crop_transform(face.landmarks * max(greys[0].shape), crop_px)
            pair = [cut(grey, transform, crop_px) for grey in greys]
            crops.append(pair[0])
            speeds.append(self._flow(pair, seconds[window]))
        return np.stack(crops), np.stack(speeds)


def measure_workers(
    videos: Mapping[str, Path], directory: Path, clips_per_worker: int
) -> dict[str, float]:
    """Return clips per second with one and two workers; the first clip per worker is ignored."""
    from pipeline.extraction.dispatch import run_tasks

    rates = {}
    for num_workers in (1, 2):
        tasks = [
            build_task(str(number), video, directory / f"{num_workers}-workers-{number}.npz")
            for number, video in zip(
                range(clips_per_worker * num_workers),
                itertools.cycle(videos.values()),
                strict=False,
            )
        ]
        ends = []
        for result in run_tasks(JOB, tasks, num_workers=num_workers, engine="local"):
            assert result.is_done, result
            ends.append(time.perf_counter())
        warm = ends[2 * num_workers - 1 :]
        rates[num_workers] = (len(warm) - 1) / (warm[-1] - warm[0])
    return {
        "clips_per_second_one_worker": round(rates[1], 3),
        "clips_per_second_two_workers": round(rates[2], 3),
        "two_workers_over_one": round(rates[2] / rates[1], 3),
    }


def build_task(clip_id: str, video: Path, path: Path) -> Task:
    """Build the extraction task for one video, without an image for the contact sheet."""
    source = ClipSource(clip_id=clip_id, video=video)
    return Task(source=source, path=path, fingerprint="")


def convert_frames(frames: list[Any], shown: set[int]) -> dict[int, Any]:
    """Return timestamp -> images; frames in `shown` also get a small image."""
    from pipeline.extraction.video.images import convert_frame

    small_px = JOB.config.faces.detect_px
    return {
        frame.pts: convert_frame(
            frame,
            pixel_aspect=1.0,
            small_px=small_px if frame.pts in shown else None,
            with_colour=False,
        )
        for frame in frames
    }


def decode_everything(video: Path) -> int:
    """Decode all frames in one thread without conversion; return the number of frames."""
    import av

    with av.open(str(video)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        return sum(1 for _ in container.decode(video=0))


def cpu_seconds(step: Callable[[], object]) -> float:
    """Return the CPU time of a call in seconds, for all threads together."""
    start = time.process_time()
    step()
    return time.process_time() - start


if __name__ == "__main__":
    main()
