"""Predict apparent OCEAN personality traits from short video clips.

Each name is imported when it is first used. Therefore `import pipeline` and
`python -m pipeline --help` load neither TensorFlow nor MLflow.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from pipeline.models.complete_personality_model import (
        CompletePersonalityModel as CompletePersonalityModel,
    )
    from pipeline.models.personality_model import PersonalityModel as PersonalityModel
    from pipeline.training.callbacks import (
        LearningRateTrackerCallback as LearningRateTrackerCallback,
    )
    from pipeline.training.callbacks import (
        PerformanceMonitorCallback as PerformanceMonitorCallback,
    )
    from pipeline.training.callbacks import TimeTrackingCallback as TimeTrackingCallback
    from pipeline.workflows.trained_model import load_model as load_model
    from pipeline.workflows.training_system import TrainingSystem as TrainingSystem
    from pipeline.workflows.training_system import (
        train_personality_model as train_personality_model,
    )

_MODULES = {
    "CompletePersonalityModel": "pipeline.models.complete_personality_model",
    "LearningRateTrackerCallback": "pipeline.training.callbacks",
    "PerformanceMonitorCallback": "pipeline.training.callbacks",
    "PersonalityModel": "pipeline.models.personality_model",
    "TimeTrackingCallback": "pipeline.training.callbacks",
    "TrainingSystem": "pipeline.workflows.training_system",
    "load_model": "pipeline.workflows.trained_model",
    "train_personality_model": "pipeline.workflows.training_system",
}

__all__ = ["__version__", *_MODULES]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
