"""Bare `model.fit` of Keras, without callbacks or metrics.

The optimizer has the settings of the pipeline: AdamW with warm-up, cosine decay and clipped
gradients.
"""

from typing import Any

import keras

from benchmarks.problem import Problem, build_problem
from benchmarks.timing import EpochClock


def measure(
    *, features_dir: str, batch_size: int, num_epochs: int, work_dir: str
) -> dict[str, float]:
    """Train the default model. Return its speed after the first epoch."""
    problem = build_problem(features_dir, batch_size=batch_size, num_epochs=num_epochs)
    compile_network(problem)
    inputs, labels = problem.training_arrays()
    clock = EpochClock()
    problem.network.fit(
        inputs,
        labels,
        batch_size=batch_size,
        epochs=num_epochs,
        validation_data=problem.validation_arrays(),
        verbose=0,
        callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=clock.tick)],
    )
    measured = describe(problem, clock)
    keras.backend.clear_session()
    return measured


def compile_network(problem: Problem, **options: Any) -> None:
    """Compile the network with the optimizer settings of the experiment."""
    training = problem.experiment.config.training
    num_clips = len(problem.experiment.split.train)
    steps_per_epoch = -(-num_clips // training.batch_size)
    warmup_steps = round(training.warmup_epochs * steps_per_epoch)
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=training.learning_rate / warmup_steps,
        warmup_target=training.learning_rate,
        warmup_steps=warmup_steps,
        decay_steps=training.num_epochs * steps_per_epoch - warmup_steps,
    )
    problem.network.compile(
        optimizer=keras.optimizers.AdamW(
            schedule,
            weight_decay=training.weight_decay,
            global_clipnorm=training.gradient_clip_norm,
        ),
        loss="mse",
        steps_per_execution=min(training.steps_per_execution, steps_per_epoch),
        **options,
    )


def describe(problem: Problem, clock: EpochClock) -> dict[str, float]:
    """Return the speed, the number of weights and the number of training steps."""
    seconds, cpu_seconds = clock.seconds_per_epoch()
    num_clips = len(problem.experiment.split.train)
    return {
        "clips_per_second": num_clips / seconds,
        "clips_per_cpu_second": num_clips / cpu_seconds,
        "num_weights": problem.network.count_params(),
        "num_steps": int(problem.network.optimizer.iterations.numpy()),
    }
