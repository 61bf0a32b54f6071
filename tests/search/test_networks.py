"""Trials that share a network have the results of trials with networks of their own."""

from dataclasses import replace

import keras
import numpy as np
import pandas as pd
import pytest

from pipeline.config.schema import ExperimentConfig, ModelConfig, TrainingConfig
from pipeline.core.errors import ModelError
from pipeline.core.run_directory import RunDirectory
from pipeline.core.run_log import RunLog
from pipeline.data.batches import LabelledBatches
from pipeline.data.feature_set import load_feature_set
from pipeline.data.writer import StreamValues, write_feature_set
from pipeline.search import networks as networks_module
from pipeline.search.networks import TrialNetworks
from pipeline.training.fit import FitHooks, fit
from pipeline.workflows.train import build_for

pytestmark = pytest.mark.slow

FIRST = ExperimentConfig(
    model=ModelConfig(fusion_dim=8, num_heads=2, dropout_rate=0.2, num_tokens=2),
    training=TrainingConfig(num_epochs=2, batch_size=16, loss={"mse": 1.0, "huber": 1.0}),
)

CHANGES = {
    "learning rate": {"learning_rate": 0.05},
    "weight decay": {"weight_decay": 0.5},
    "schedule": {"num_epochs": 3, "warmup_epochs": 0.5},
    "constant rate": {"schedule": "constant"},
    "loss weights": {"loss": {"mse": 0.2, "huber": 3.0}, "huber_delta": 0.02},
    "clipping": {"gradient_clip_norm": 0.01},
    "batch size": {"batch_size": 7},
    "optimizer": {"optimizer": "adam"},
}


@pytest.fixture(scope="module")
def features(tmp_path_factory):
    rng = np.random.default_rng(0)
    streams = {
        "static": StreamValues(values=rng.normal(size=(40, 3, 6)).astype(np.float32)),
        "dynamic": StreamValues(values=rng.normal(size=(40, 5)).astype(np.float32)),
    }
    directory = tmp_path_factory.mktemp("networks") / "features"
    write_feature_set(
        directory,
        streams=streams,
        labels=rng.uniform(size=(40, 5)),
        clips=pd.DataFrame(
            {
                "clip_id": [f"clip-{row}" for row in range(40)],
                "group": [f"video-{row // 2}" for row in range(40)],
            }
        ),
    )
    return load_feature_set(directory)


def trained(features, config, directory, network, models):
    """Train a network, and return the bytes of all variables and the losses."""
    directory.mkdir()
    run = RunDirectory(directory)
    batches = [
        LabelledBatches(features, rows, seed=seed, batch_size=config.training.batch_size)
        for rows, seed in ((np.arange(30), config.seed), (np.arange(30, 40), None))
    ]
    hooks = FitHooks(is_resumable=False, shows_progress=False, models=models)
    log = RunLog(run.run_log_path)
    result = fit(network, *batches, config.training, run=run, run_log=log, hooks=hooks)
    return [each.numpy().tobytes() for each in network.variables], result.history.history


def config_with(change):
    return replace(FIRST, training=replace(FIRST.training, **change))


@pytest.fixture(scope="module")
def shared(features, tmp_path_factory):
    """Networks after one trial."""
    networks = TrialNetworks()
    directory = tmp_path_factory.mktemp("first") / "run"
    trained(features, FIRST, directory, *networks.build(FIRST, features))
    return networks


CONFIGS = {
    **{name: config_with(change) for name, change in CHANGES.items()},
    "the same": FIRST,
    "seed": replace(FIRST, seed=3),
    "dropout rate": replace(FIRST, model=replace(FIRST.model, dropout_rate=0.5)),
    "no dropout": replace(FIRST, model=replace(FIRST.model, dropout_rate=0.0)),
    "width": replace(FIRST, model=replace(FIRST.model, fusion_dim=4)),
}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_a_shared_network_has_the_bits_of_a_new_network(features, shared, tmp_path, config):
    network, models = shared.build(config, features)
    again = trained(features, config, tmp_path / "shared", network, models)
    keras.utils.set_random_seed(config.seed)
    new = build_for(config, features)
    alone = trained(features, config, tmp_path / "new", new, FitHooks().models)
    assert again == alone
    assert network.get_config() == new.get_config()


def test_trials_of_one_architecture_share_a_network_and_its_functions(features):
    networks = TrialNetworks()
    first = networks.build(FIRST, features)
    other = replace(FIRST, seed=5, model=replace(FIRST.model, dropout_rate=0.6))
    assert networks.build(other, features) == first
    wider = replace(FIRST, model=replace(FIRST.model, fusion_dim=16))
    assert not set(networks.build(wider, features)) & set(first)


def test_old_networks_are_removed(features, monkeypatch):
    monkeypatch.setattr(networks_module, "_MAX_NETWORKS", 2)
    networks = TrialNetworks()
    widths = [replace(FIRST, model=replace(FIRST.model, fusion_dim=width)) for width in (4, 8, 16)]
    first, second, _ = (networks.build(config, features) for config in widths)
    assert networks.build(widths[1], features) == second
    assert not set(networks.build(widths[0], features)) & set(first)


@pytest.mark.parametrize(("before", "rate"), [(0.0, 0.3), (0.3, 0.0), (0.3, 1.0)])
def test_dropout_cannot_be_turned_on_or_off(features, before, rate):
    network = build_for(replace(FIRST, model=replace(FIRST.model, dropout_rate=before)), features)
    with pytest.raises(ModelError, match="dropout rate cannot change"):
        network.set_dropout_rate(rate)
