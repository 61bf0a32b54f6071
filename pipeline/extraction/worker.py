"""What a worker does: load the detector and the encoders once, then clip after clip.

Nothing heavy is imported when this module is loaded, as a spawned process loads it before
it can set how many threads TensorFlow and OpenCV take.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.config.extraction import ExtractionConfig
from pipeline.core.errors import ExtractionError
from pipeline.core.tensorflow_import import import_tensorflow_quietly

if TYPE_CHECKING:
    from pipeline.extraction.sources import ClipSource


@dataclass(frozen=True, kw_only=True)
class Job:
    """What the workers of one extraction share."""

    config: ExtractionConfig
    """How features are made."""
    has_videos: bool
    """Whether clips come with videos."""
    has_faces: bool
    """Whether they come with face images."""
    has_flow: bool
    """Whether they come with flow fields."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """One clip to be done."""

    source: "ClipSource"
    """Where it comes from."""
    path: Path
    """Where its features go."""
    made_with: str
    """Its fingerprint."""
    with_strip: bool
    """Whether it is on the contact sheet."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """What became of one clip."""

    clip_id: str
    """Its id."""
    stage: str = ""
    """Where it failed; empty if it did not."""
    reason: str = ""
    """Why."""
    seconds: float = 0.0
    """How long it took."""

    @classmethod
    def unreadable(cls, clip_id: str, error: OSError) -> "Result":
        """Return the failure of a clip whose files cannot be read."""
        reason = f"cannot be read ({error.strerror or error})"
        return cls(clip_id=clip_id, stage="open", reason=reason)

    @property
    def is_done(self) -> bool:
        """Whether its features are written."""
        return not self.stage


def take_one_thread() -> None:
    """Keep this process to one thread: workers share the processors, not threads."""
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ[name] = "1"
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"  # decoding bounds the speed, not the networks
    import cv2

    cv2.setNumThreads(1)
    import_tensorflow_quietly()


def build_work(job: Job) -> Callable[[Task], Result]:
    """Return the function that does one clip; call it in a process of its own.

    Raises:
        PipelineError: If an encoder cannot be built.
    """
    take_one_thread()
    from pipeline.extraction.clip import ClipExtractor
    from pipeline.extraction.clip_cache import write_unit
    from pipeline.extraction.failures import ClipError

    extract = ClipExtractor(
        job.config, has_videos=job.has_videos, has_faces=job.has_faces, has_flow=job.has_flow
    )

    def work(task: Task) -> Result:
        began = time.perf_counter()
        clip_id = task.source.clip_id
        try:
            features = extract(task.source, with_strip=task.with_strip)
        except ClipError as error:
            return Result(clip_id=clip_id, stage=error.stage, reason=error.reason)
        except OSError as error:
            return Result.unreadable(clip_id, error)
        except Exception as error:  # one clip must not end the others
            reason = f"unexpected {type(error).__name__}: {error}"
            return Result(clip_id=clip_id, stage="encode", reason=" ".join(reason.split()))
        try:
            write_unit(task.path, features, made_with=task.made_with)
        except OSError as error:  # a full disk is full for every clip
            message = (
                f"{task.path}: cannot be written ({error.strerror}). Clips that are done stay."
            )
            raise ExtractionError(message) from error
        return Result(clip_id=clip_id, seconds=time.perf_counter() - began)

    return work
