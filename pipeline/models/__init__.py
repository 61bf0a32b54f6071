"""The networks: pure Keras 3, saved and loaded without `custom_objects` once this is imported."""

from pipeline.models.build import StreamSpec, build_model
from pipeline.models.complete_personality_model import CompletePersonalityModel
from pipeline.models.fusion import FUSIONS
from pipeline.models.persistence import load_model, save_model
from pipeline.models.summary import WeightCounts, count_weights

__all__ = [
    "FUSIONS",
    "CompletePersonalityModel",
    "StreamSpec",
    "WeightCounts",
    "build_model",
    "count_weights",
    "load_model",
    "save_model",
]
