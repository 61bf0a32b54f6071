"""Build the function that a worker runs for each clip.

The thread limits must be set before TensorFlow is imported. Therefore modules that import
TensorFlow are imported inside the functions.
"""

import os
from collections.abc import Callable

from pipeline.core.errors import ExtractionError
from pipeline.core.tensorflow_import import import_tensorflow_quietly
from pipeline.extraction.tasks import ClipError, Job, Result, Task


def use_one_thread() -> None:
    """Limit this process to one thread, because several workers run in parallel. Disable GPUs."""
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ[name] = "1"
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"  # no GPU, because decoding takes most of the time
    import cv2

    cv2.setNumThreads(1)
    import_tensorflow_quietly(runs_user_code=False)


def build_work(job: Job) -> Callable[[Task], Result]:
    """Load the networks; return a function that extracts and caches the features of one clip.

    Raises:
        PipelineError: If an encoder cannot be built.
    """
    use_one_thread()
    from pipeline.extraction.clip import ClipExtractor
    from pipeline.extraction.clip_cache import write_cached_clip

    extract = ClipExtractor(job)

    def work(task: Task) -> Result:
        clip_id = task.source.clip_id
        try:
            features = extract(task.source, with_strip=task.with_strip)
        except ClipError as error:
            return Result(clip_id=clip_id, stage=error.stage, reason=error.reason)
        except OSError as error:
            return Result.unreadable(clip_id, error)
        except Exception as error:  # the extraction continues with other clips
            reason = f"unexpected {type(error).__name__}: {error}"
            return Result(clip_id=clip_id, stage="encode", reason=" ".join(reason.split()))
        try:
            write_cached_clip(task, features)
        except OSError as error:  # a full disk affects every clip
            message = f"{task.path}: cannot be written ({error.strerror}). Finished clips are kept."
            raise ExtractionError(message) from error
        return Result(clip_id=clip_id)

    return work
