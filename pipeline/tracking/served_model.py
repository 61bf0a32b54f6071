"""The code that MLflow runs to serve a model; logged as it is ("models from code").

Legend: N clips, T steps, D width, K traits.
"""

from typing import Any

import mlflow
import numpy as np
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.protos.databricks_pb2 import BAD_REQUEST


class ServedModel(mlflow.pyfunc.PythonModel):
    """Scores clips with the packaged Keras model, and says how sure it is of each score."""

    def load_context(self, context: Any) -> None:
        """Load the network once, when the server starts."""
        from pathlib import Path

        from pipeline.core.calibration import read_calibration, uncalibrated
        from pipeline.models.persistence import load_model

        self._model = load_model(Path(context.artifacts["keras_model"]))
        calibration = context.artifacts.get("calibration")
        self._calibration = read_calibration(Path(calibration)) if calibration else uncalibrated()

    # MLflow makes a schema of the hint of `model_input`, and warns where it cannot; of an
    # array it does not try to. What comes are arrays by name, as the signature says.
    def predict(self, context: Any, model_input: np.ndarray, params: Any = None) -> Any:
        """Return scores of shape (N, K) for named inputs of shape (N, D) or (N, T, D).

        With the parameter `intervals` they have the shape (N, K, 3): of each trait the score,
        and the lower and the upper end of its prediction interval.

        Raises:
            MlflowException: If an input cannot be scored; a server answers with status 400.
        """
        del context
        inputs = [_readable(tensor, model_input) for tensor in self._model.inputs]
        sizes = {len(values) for values in inputs}
        if len(sizes) > 1:
            raise _refusal(f"the inputs are of {sorted(sizes)} clips; give each as many rows")
        scores = self._model.predict(inputs, verbose=0)
        if not (params or {}).get("intervals"):
            return scores
        return np.stack([scores, *self._calibration.intervals(scores)], axis=-1)


def _readable(tensor: Any, model_input: Any) -> Any:
    """Return one input as float32, once it is what the model takes."""
    name, shape = tensor.name, tuple(tensor.shape[1:])
    if name not in model_input:
        raise _refusal(f"there is no {name}; expected it with the shape (clips, {shape})")
    try:
        values = np.asarray(model_input[name], dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise _refusal(f"{name} does not hold numbers in rows of one shape ({error})") from error
    if values.shape[1:] != shape:
        raise _refusal(f"{name} has rows of shape {values.shape[1:]}, expected {shape}")
    if not np.isfinite(values).all():
        raise _refusal(f"{name} holds a value that is not a finite number, or is too large")
    return values


def _refusal(reason: str) -> MlflowException:
    return MlflowException(f"These clips cannot be scored: {reason}.", error_code=BAD_REQUEST)


set_model(ServedModel())
