"""Networks of the trials of a worker process.

Tracing a network takes longer than the training of a small model. Therefore trials that differ only
in the settings of the optimizer, the dropout rate or the seed share a network and its traced
functions. Each trial starts with the initial weights of a new network, so its results are equal to
those with a new network.
"""

import dataclasses
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, Final

import keras
import numpy as np

from pipeline.config.schema import ExperimentConfig
from pipeline.core.arrays import FloatArray
from pipeline.data.feature_set import FeatureSet
from pipeline.models.personality_model import PersonalityModel
from pipeline.training.traced_models import TracedModels
from pipeline.workflows.train import build_for

_MAX_NETWORKS: Final = 8
"""Maximum number of shared networks in memory."""


@dataclass(kw_only=True)
class _Entry:
    network: PersonalityModel
    models: TracedModels = field(default_factory=TracedModels)
    initial: dict[int, list[FloatArray]] = field(default_factory=dict)
    """Seed -> initial values of all variables, including the states of dropout."""


class TrialNetworks:
    """Networks of the trials, with the traced functions of their trainings."""

    def __init__(self) -> None:
        self._entries: OrderedDict[Any, _Entry] = OrderedDict()

    def build(
        self, config: ExperimentConfig, features: FeatureSet
    ) -> tuple[keras.Model, TracedModels]:
        """Return a network with the initial weights of a new network, and its traced functions.

        All calls must have the same feature set; the configuration selects its streams. The next
        call may reset the network. Networks with encoders are never shared.
        """
        key = _architecture(config)
        entry = self._entries.get(key)
        if entry is None or config.seed not in entry.initial:
            network = _build_new(config, features)
            if not isinstance(network, PersonalityModel):
                return network, TracedModels()
            if entry is None:
                entry = self._entries[key] = _Entry(network=network)
            entry.initial[config.seed] = [np.array(each.numpy()) for each in network.variables]
        self._entries.move_to_end(key)
        if len(self._entries) > _MAX_NETWORKS:
            self._entries.popitem(last=False)
        for variable, array in zip(
            entry.network.variables, entry.initial[config.seed], strict=True
        ):
            variable.assign(array)
        if config.model.dropout_rate:
            entry.network.set_dropout_rate(config.model.dropout_rate)
        return entry.network, entry.models


def _build_new(config: ExperimentConfig, features: FeatureSet) -> keras.Model:
    keras.backend.clear_session()
    keras.utils.set_random_seed(config.seed)
    return build_for(config, features)


def _architecture(config: ExperimentConfig) -> tuple[object, ...]:
    """Return the settings that determine the layers and the weights of a network."""
    settings = dataclasses.asdict(config.model)
    return (
        *(settings.pop("dropout_rate") > 0, tuple(settings.items())),
        *(config.training.stream_dropout, tuple(config.training.trainable)),
        tuple(config.training.frozen),
    )
