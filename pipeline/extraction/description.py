"""What decides the values of features, in plain values: equal for equal features.

It is `encoder` in `features.json`. Features of new clips fit a model if their description
equals that of the features which the model was trained on.
"""

import importlib.metadata
from dataclasses import asdict
from typing import Any, Final

from pipeline.config.extraction import is_network
from pipeline.data.encoder import GIVEN_FACES, GIVEN_FLOW, VIDEOS
from pipeline.extraction.encoders.encoders import build_dynamic_encoder, build_static_encoder
from pipeline.extraction.worker import Job

_VIDEO_PACKAGES: Final = ("av", "mtcnn", "opencv-python-headless")
_NETWORK_PACKAGES: Final = ("keras", "tensorflow")

# They decide which clips are used, not what is made of them.
_THRESHOLDS: Final = ("min_coverage", "min_share")


def describe(job: Job) -> dict[str, Any]:
    """Return the description of the features that a job makes.

    Raises:
        PipelineError: If an encoder cannot be built, for instance as weights are missing.
    """
    config = job.config
    static = build_static_encoder(config).describe()
    dynamic = build_dynamic_encoder(config).describe()
    sees_videos = job.has_videos and not (job.has_faces and job.has_flow)
    description: dict[str, Any] = {
        "name": f"{config.static.encoder} + {config.dynamic.encoder}",
        "sampling": _without_thresholds(asdict(config.sampling)),
        "faces": _without_thresholds(asdict(config.faces)),
        "static": {**static, "of": GIVEN_FACES if job.has_faces else VIDEOS},
        "dynamic": {
            **dynamic,
            "of": GIVEN_FLOW if job.has_flow else VIDEOS,
            "num_pairs": config.dynamic.num_pairs,
        },
        "libraries": _versions(job, sees_videos=sees_videos),
    }
    if sees_videos:
        description["faces"]["detector"] = "mtcnn"
    if not job.has_flow:
        description["dynamic"]["flow"] = "DIS medium"
    return description


def thresholds(job: Job) -> dict[str, float]:
    """Return the settings that decide which clips are used."""
    return {
        "min_coverage": job.config.sampling.min_coverage,
        "min_share": job.config.faces.min_share,
    }


def _without_thresholds(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in _THRESHOLDS}


def _versions(job: Job, *, sees_videos: bool) -> dict[str, str]:
    packages = list(_VIDEO_PACKAGES) if sees_videos else ["opencv-python-headless"]
    if is_network(job.config):
        packages += _NETWORK_PACKAGES
    return {name: importlib.metadata.version(name).partition(".")[0] for name in packages}
