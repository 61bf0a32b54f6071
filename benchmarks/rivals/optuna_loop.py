"""A plain Optuna loop, like Optuna's examples for Keras.

Each trial builds a new model and trains it with `model.fit`, without pruning, logs or workers. The
space, the configuration and the clips are those of the command `search`.

    python -m benchmarks.rivals.optuna_loop --config FILE --space FILE --features_dir DIR
"""

import argparse
from pathlib import Path

import keras
import optuna

from benchmarks.problem import Problem
from benchmarks.rivals.plain_fit import compile_network
from pipeline.config.loading import load_config
from pipeline.search.space.space_file import load_space
from pipeline.search.study_spec import search_split
from pipeline.workflows.features import open_features
from pipeline.workflows.train import build_for
from pipeline.workflows.training_steps import Experiment, adapt_network


def main() -> None:
    """Run the loop. Print the best validation MAE, and the start of the first trial."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("config", "space", "features_dir"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--num_trials", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    # `search` holds out test clips by default, so the loop also holds out these clips.
    settings = {
        "data.features_dir": str(arguments.features_dir),
        "data.test_fraction": load_config(arguments.config).search.test_fraction,
        "seed": arguments.seed,
    }
    base = load_config(arguments.config, settings)
    features = open_features(base.data)
    split, space = search_split(features, base), load_space(arguments.space, base)

    def objective(trial: optuna.Trial) -> float:
        keras.backend.clear_session()
        # All trials, also those of `search`, start from the same random state. Therefore the
        # initialisation does not affect the comparison.
        keras.utils.set_random_seed(arguments.seed)
        config = space.config(space.propose(trial))
        network = build_for(config, features)
        experiment = Experiment(config=config, features=features, split=split)
        adapt_network(network, experiment)
        problem = Problem(network=network, experiment=experiment)
        compile_network(problem, metrics=["mae"])
        inputs, labels = problem.training_arrays()
        history = network.fit(
            inputs,
            labels,
            batch_size=config.training.batch_size,
            epochs=config.training.num_epochs,
            validation_data=problem.validation_arrays(),
            verbose=0,
        )
        return float(min(history.history["val_mae"]))

    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=arguments.seed))
    study.optimize(objective, n_trials=arguments.num_trials)
    print(study.best_value, study.trials[0].datetime_start.timestamp())


if __name__ == "__main__":
    main()
