"""Compare the trials per hour of `search` with those of a plain Optuna loop.

The plain loop follows Optuna's Keras examples. It builds a model per trial and trains this model
with `model.fit`, without pruning or logs. `search` then runs for the same time, with two workers
and MLflow. Both use the same space, configuration and clips. Imports are included. Failed trials
and the work of `search` after its trials are not counted. All trials start from the same random
state, so the initialisation does not affect the comparison.

    python -m benchmarks.search --features_dir features/first_impressions --num_trials 20
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
CONFIG = REPOSITORY / "experiments" / "first_impressions.yaml"
SPACE = REPOSITORY / "experiments" / "search" / "cross_attention.yaml"


def main() -> None:
    """Run the loop, then the search, and print the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--features_dir", type=Path, required=True)
    parser.add_argument("--num_trials", type=int, default=20)
    parser.add_argument("--num_workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--loop", action="store_true", help="run only the plain loop, in this process"
    )
    arguments = parser.parse_args()
    arguments.features_dir = arguments.features_dir.absolute()
    if arguments.loop:
        print(json.dumps({"best": plain_loop(arguments)}))
        return
    seconds, best = measure_loop(arguments)
    loop_pace = _print("plain loop", arguments.num_trials, seconds, best)
    num_trials, best = measure_search(arguments, seconds)
    name = f"search, {arguments.num_workers} workers"
    pace = _print(name, num_trials, seconds, best)
    print(f"{pace / loop_pace:.2f} times the trials per hour")


def _print(name: str, num_trials: int, seconds: float, best: float) -> float:
    pace = 3600 * num_trials / seconds
    print(
        f"{name:<18} {num_trials:3d} trials in {seconds:6.1f} s  {pace:5.0f} per hour  "
        f"best val_mae {best:.6f}",
        flush=True,
    )
    return pace


def measure_loop(arguments: argparse.Namespace) -> tuple[float, float]:
    """Return the duration of the plain loop in seconds, and the best value."""
    began = time.perf_counter()
    command = [
        *(sys.executable, "-m", "benchmarks.search", "--loop"),
        *("--features_dir", str(arguments.features_dir)),
        *("--num_trials", str(arguments.num_trials), "--seed", str(arguments.seed)),
    ]
    printed = subprocess.run(
        command, cwd=REPOSITORY, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    seconds = time.perf_counter() - began
    return seconds, float(json.loads(printed.stdout.splitlines()[-1])["best"])


def measure_search(arguments: argparse.Namespace, seconds: float) -> tuple[int, float]:
    """Return the number of trials that ended within `seconds`, and the best value."""
    with tempfile.TemporaryDirectory() as directory:
        began = time.time()
        command = [
            *(sys.executable, "-m", "pipeline", "search"),
            *("--config", str(CONFIG), "--space", str(SPACE)),
            *("--features_dir", str(arguments.features_dir)),
            *("--timeout_minutes", str(seconds / 60), "--seed", str(arguments.seed)),
            *("--num_workers", str(arguments.num_workers), "--run_dir", f"{directory}/study"),
            *("--evaluation.figures", "false"),
        ]
        subprocess.run(
            command,
            cwd=directory,
            env={**_environment(), "PYTHONPATH": str(REPOSITORY)},
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        study = json.loads(Path(directory, "study", "search", "study.json").read_text("utf-8"))
    in_time = [
        trial
        for trial in study["trials"]
        if trial["state"] in ("COMPLETE", "PRUNED")
        and trial["started_ms"] / 1000 + trial["seconds"] <= began + seconds
    ]
    return len(in_time), min(trial["values"][0] for trial in in_time if trial["values"])


def plain_loop(arguments: argparse.Namespace) -> float:
    """Run a loop like Optuna's Keras examples; return the best value."""
    import keras
    import optuna

    from pipeline.config.loading import load_config
    from pipeline.core.arrays import FloatArray, IntArray
    from pipeline.data.batches import inference_batches
    from pipeline.search.space.space_file import load_space
    from pipeline.search.study_spec import search_split
    from pipeline.training.optimizer import build_learning_rate
    from pipeline.workflows.features import open_features
    from pipeline.workflows.train import build_for
    from pipeline.workflows.training_steps import Experiment, adapt_network

    # `search` holds out test clips by default, so the loop also holds out these clips.
    overrides = {
        "data.features_dir": str(arguments.features_dir),
        "data.test_fraction": load_config(CONFIG).search.test_fraction,
        "seed": arguments.seed,
    }
    base = load_config(CONFIG, overrides)
    features = open_features(base.data)
    split, space = search_split(features, base), load_space(SPACE, base)
    labels = features.checked_labels()

    def arrays(rows: IntArray) -> tuple[list[FloatArray], FloatArray]:
        (batch,) = inference_batches(features, rows, batch_size=len(rows))
        return list(batch), labels[rows]

    inputs, truth = arrays(split.train)
    held_out = arrays(split.validation)

    def objective(trial: optuna.Trial) -> float:
        keras.backend.clear_session()
        keras.utils.set_random_seed(arguments.seed)
        config = space.config(space.propose(trial))
        network = build_for(config, features)
        adapt_network(network, Experiment(config=config, features=features, split=split))
        settings = config.training
        steps = -(-len(truth) // settings.batch_size)
        network.compile(
            optimizer=keras.optimizers.AdamW(
                build_learning_rate(settings, steps_per_epoch=steps),
                weight_decay=settings.weight_decay,
                global_clipnorm=settings.gradient_clip_norm,
            ),
            loss="mse",
            metrics=["mae"],
        )
        history = network.fit(
            inputs,
            truth,
            batch_size=settings.batch_size,
            epochs=settings.num_epochs,
            validation_data=held_out,
            verbose=0,
        )
        return min(history.history["val_mae"])

    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=arguments.seed))
    study.optimize(objective, n_trials=arguments.num_trials)
    return float(study.best_value)


def _environment() -> dict[str, str]:
    """Return the environment without the settings for a tracking server."""
    return {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}


if __name__ == "__main__":
    main()
