"""The optimiser of a configuration and its learning rate over time."""

from typing import Any

import keras

from pipeline.config.schema import TrainingConfig


def build_optimizer(config: TrainingConfig, *, steps_per_epoch: int) -> keras.optimizers.Optimizer:
    """Return the optimiser with its schedule and gradient clipping."""
    settings: dict[str, Any] = {
        "learning_rate": build_learning_rate(config, steps_per_epoch=steps_per_epoch),
        "global_clipnorm": config.gradient_clip_norm or None,
        # A name of its own: Keras counts the optimisers of a process, and their variables
        # would be called otherwise in the process that resumes a run.
        "name": config.optimizer,
    }
    if config.optimizer == "adam":
        return keras.optimizers.Adam(**settings)
    return keras.optimizers.AdamW(weight_decay=config.weight_decay, **settings)


def build_learning_rate(config: TrainingConfig, *, steps_per_epoch: int) -> Any:
    """Return a number, or a schedule: linear warm-up, then cosine decay to zero.

    Reference: Loshchilov & Hutter, 2017 (arXiv:1608.03983), eq. 5, without restarts.
    """
    if config.schedule == "constant":
        return config.learning_rate
    warmup_steps = round(config.warmup_epochs * steps_per_epoch)
    decay_steps = max(1, config.num_epochs * steps_per_epoch - warmup_steps)
    if warmup_steps == 0:
        return keras.optimizers.schedules.CosineDecay(config.learning_rate, decay_steps)
    return keras.optimizers.schedules.CosineDecay(
        # The first step moves too: a warm-up from exactly 0 would waste it.
        initial_learning_rate=config.learning_rate / warmup_steps,
        decay_steps=decay_steps,
        warmup_target=config.learning_rate,
        warmup_steps=warmup_steps,
    )
