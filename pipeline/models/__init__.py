"""Neural networks in pure Keras 3.

The import of this package registers every layer. Model files then load without
`custom_objects`.
"""

from pipeline.models.build import StreamSpec, build_model
from pipeline.models.complete_personality_model import CompletePersonalityModel
from pipeline.models.fusion import FUSIONS
from pipeline.models.persistence import load_model, save_model
from pipeline.models.personality_model import PersonalityModel
from pipeline.models.trainability import WeightCounts, count_weights

__all__ = [
    "FUSIONS",
    "CompletePersonalityModel",
    "PersonalityModel",
    "StreamSpec",
    "WeightCounts",
    "build_model",
    "count_weights",
    "load_model",
    "save_model",
]
