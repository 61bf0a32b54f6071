"""Checks before training."""

import importlib.util
import logging

import keras

from pipeline.config.schema import TrainingConfig
from pipeline.core.errors import ConfigError, TrainingError
from pipeline.core.installation import install_command
from pipeline.data.batches import LabelledBatches

_logger = logging.getLogger(__name__)


def check_keras_settings() -> None:
    """Check that Keras uses TensorFlow and float32.

    Raises:
        TrainingError: If the backend is not TensorFlow, or the precision is not float32.
    """
    backend = keras.backend.backend()
    if backend != "tensorflow":
        raise TrainingError(
            f"Keras runs on {backend} in this process, but training needs TensorFlow. Set the "
            "environment variable KERAS_BACKEND to tensorflow before Keras is imported."
        )
    precision = keras.config.dtype_policy().name
    # A model that was trained in another precision would predict other scores after it is saved
    # and loaded than directly after training.
    if precision != "float32":
        raise TrainingError(
            f"Keras computes in {precision} in this process, but models are trained in float32. "
            'Call keras.config.set_dtype_policy("float32") before the model is built.'
        )


def check_tensorboard(config: TrainingConfig) -> None:
    """Check that TensorBoard is installed if the configuration needs it.

    Raises:
        ConfigError: If TensorBoard is not installed.
    """
    if config.tensorboard and importlib.util.find_spec("tensorboard") is None:
        raise ConfigError(
            "training.tensorboard needs TensorBoard, which is not installed. "
            f"Install it with `{install_command('tensorboard')}`, or set the option to false."
        )


def check_trainable(network: keras.Model) -> None:
    """Check that a model has trainable weights.

    Raises:
        TrainingError: If the model has no weights yet, or all weights are frozen.
    """
    if not network.built:
        raise TrainingError(
            f"{network.name}: has no weights yet. Call the model on one batch before training."
        )
    if not network.trainable_weights:
        raise TrainingError(
            f"{network.name}: none of its {network.count_params()} weights is trainable, so "
            "training would change nothing. Check training.frozen, or set "
            "`layer.trainable = True` for the layers to train."
        )


def warn_of_single_clip_batches(training: LabelledBatches, config: TrainingConfig) -> None:
    """Warn if a batch has only one clip but the loss contains CCC, which needs two or more."""
    last = training.num_clips % config.batch_size
    if "ccc" not in config.loss_weights or (config.batch_size > 1 and last != 1):
        return
    which = "every batch has" if config.batch_size == 1 else "the last batch of an epoch has"
    _logger.warning(
        "training.loss: %s one clip, for which the ccc loss has no gradient. Choose a "
        "training.batch_size other than %d for the %d training clips.",
        *(which, config.batch_size, training.num_clips),
    )
