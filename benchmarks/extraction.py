"""What does the extraction of features cost, beside decoding every frame of the same clips?

    python -m benchmarks.extraction --videos_dir DIR [--num_repeats 5]

Prints, as a ratio of the CPU time of a full decode with PyAV: the whole extraction with the
default settings, and each of its stages. Then the clips a second of two workers over one,
once they are set up. All in one thread a process; ratios, as no two machines are alike.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.config.extraction import ExtractionConfig


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos_dir", type=Path, required=True)
    parser.add_argument("--num_repeats", type=int, default=5)
    parser.add_argument("--clips_per_worker", type=int, default=12)
    arguments = parser.parse_args()
    from pipeline.extraction.sources import find_videos

    videos = list(find_videos(arguments.videos_dir).values())
    scaling = measure_workers(videos, arguments.clips_per_worker)  # before threads are set here
    stages = measure_stages(videos, arguments.num_repeats)
    print(json.dumps({**stages, **scaling}, indent=2))


def measure_stages(videos: list[Path], num_repeats: int) -> dict[str, float]:
    """Return CPU milliseconds a clip, medians of interleaved repeats, and their ratio."""
    from pipeline.extraction.clip import ClipExtractor
    from pipeline.extraction.decode import iterate_frames
    from pipeline.extraction.faces import FaceDetector
    from pipeline.extraction.sampling import choose_instants, choose_windows
    from pipeline.extraction.sources import ClipSource
    from pipeline.extraction.video import read_timeline
    from pipeline.extraction.worker import take_one_thread

    take_one_thread()
    extract = ClipExtractor(ExtractionConfig())
    detect = FaceDetector(min_confidence=0.9)
    samples: dict[str, list[float]] = {}
    for repeat in range(num_repeats + 1):
        for video in videos:
            source = ClipSource(clip_id=video.name, video=video)
            timeline = read_timeline(video)
            instants = choose_instants(timeline.seconds, 16)
            windows = choose_windows(timeline.seconds, instants, num_pairs=1, pair_seconds=1 / 30)
            wanted = set(timeline.pts[windows.ravel()].tolist())
            frames = list(iterate_frames(video, timeline.codec, wanted))

            small = [pictures.small for pictures in shrink(frames)][:16]
            steps: dict[str, Callable[[], object]] = {
                "full_decode": lambda video=video: decode_everything(video),
                "extraction": lambda source=source: extract(source),
                "timeline": lambda video=video: read_timeline(video),
                "wanted_frames": lambda video=video, timeline=timeline, wanted=wanted: list(
                    iterate_frames(video, timeline.codec, wanted)
                ),
                "pictures": lambda frames=frames: shrink(frames),
                "faces": lambda small=small: detect(small),
            }
            for name, step in steps.items():
                seconds = cpu_seconds(step)
                if repeat:  # the first round traces and fills caches
                    samples.setdefault(name, []).append(seconds)
    medians = {name: statistics.median(values) for name, values in samples.items()}
    return {
        **{f"{name}_cpu_ms": round(1000 * seconds, 1) for name, seconds in medians.items()},
        "extraction_over_full_decode": round(
            sum(samples["extraction"]) / sum(samples["full_decode"]), 3
        ),
    }


def measure_workers(videos: list[Path], clips_per_worker: int) -> dict[str, float]:
    """Return the clips a second of one worker and of two, from the first result on."""
    import tempfile

    from pipeline.extraction.pool import WorkerPool
    from pipeline.extraction.sources import ClipSource
    from pipeline.extraction.worker import Job, Task

    job = Job(config=ExtractionConfig(), has_videos=True, has_faces=False, has_flow=False)
    rates = {}
    with tempfile.TemporaryDirectory() as directory:
        for num_workers in (1, 2):
            tasks = [
                Task(
                    source=ClipSource(clip_id=str(number), video=videos[number % len(videos)]),
                    path=Path(directory) / f"{num_workers}-{number}.npz",
                    made_with="",
                    with_strip=False,
                )
                for number in range(clips_per_worker * num_workers)
            ]
            ends = []
            for result in WorkerPool(job, num_workers=num_workers).run(tasks):
                assert result.is_done, result
                ends.append(time.perf_counter())
            warm = ends[2 * num_workers - 1 :]  # by then every worker has done its first clip
            rates[num_workers] = (len(warm) - 1) / (warm[-1] - warm[0])
    return {
        "clips_per_second_one_worker": round(rates[1], 3),
        "clips_per_second_two_workers": round(rates[2], 3),
        "two_workers_over_one": round(rates[2] / rates[1], 3),
    }


def shrink(frames: list[Any]) -> list[Any]:
    """Return the pictures of frames, as the extraction takes them of the first of a pair."""
    from pipeline.extraction.pictures import take_pictures

    return [
        take_pictures(frame, pixel_aspect=1.0, small_px=240, with_colour=False) for frame in frames
    ]


def decode_everything(video: Path) -> int:
    """Decode every frame in one thread, and convert none."""
    import av

    with av.open(str(video)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        return sum(1 for _ in container.decode(video=0))


def cpu_seconds(step: Callable[[], object]) -> float:
    """Return the time on the processor, of all threads, that a call takes."""
    began = time.process_time()
    step()
    return time.process_time() - began


if __name__ == "__main__":
    main()
