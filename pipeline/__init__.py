"""Predict apparent OCEAN personality traits from short video clips.

Each name is imported when it is first used. Therefore `import pipeline` and
`python -m pipeline --help` load neither TensorFlow nor MLflow.

Example:
    >>> import pipeline
    >>> run = pipeline.train("demo", settings={"training.num_epochs": 5})
    >>> run.history[["loss", "val_loss"]]
    >>> run.evaluation.scores.loc["r2"]
    >>> pipeline.predict(run, "features/demo")
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from pipeline.api.comparison import compare as compare
    from pipeline.api.features import extract as extract
    from pipeline.api.features import prepare as prepare
    from pipeline.api.run import Run as Run
    from pipeline.api.scoring import evaluate as evaluate
    from pipeline.api.scoring import predict as predict
    from pipeline.api.training import resume as resume
    from pipeline.api.training import train as train
    from pipeline.models.complete_personality_model import (
        CompletePersonalityModel as CompletePersonalityModel,
    )
    from pipeline.models.personality_model import PersonalityModel as PersonalityModel
    from pipeline.search.interface import search as search
    from pipeline.workflows.trained_model import load_model as load_model
    from pipeline.workflows.training_system import TrainingSystem as TrainingSystem
    from pipeline.workflows.training_system import (
        train_personality_model as train_personality_model,
    )

_MODULES = {
    "Run": "pipeline.api.run",
    "compare": "pipeline.api.comparison",
    "evaluate": "pipeline.api.scoring",
    "extract": "pipeline.api.features",
    "predict": "pipeline.api.scoring",
    "prepare": "pipeline.api.features",
    "resume": "pipeline.api.training",
    "train": "pipeline.api.training",
}
"""Public name -> its module. The package `search` is a function itself."""

_KERAS_MODULES = {
    "CompletePersonalityModel": "pipeline.models.complete_personality_model",
    "PersonalityModel": "pipeline.models.personality_model",
    "TrainingSystem": "pipeline.workflows.training_system",
    "load_model": "pipeline.workflows.trained_model",
    "train_personality_model": "pipeline.workflows.training_system",
}
"""Public name -> its module, for modules that import Keras."""

__all__ = ["__version__", "search", *_MODULES, *_KERAS_MODULES]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name == "search":
        return importlib.import_module("pipeline.search")
    if name in _MODULES:
        return getattr(importlib.import_module(_MODULES[name]), name)
    if name not in _KERAS_MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # Models also work with the other backends of Keras, without TensorFlow.
    if os.environ.get("KERAS_BACKEND", "tensorflow") == "tensorflow":
        from pipeline.core.tensorflow_import import import_tensorflow_quietly

        import_tensorflow_quietly()
    return getattr(importlib.import_module(_KERAS_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
