"""Code of the served model. MLflow stores and runs this file ("models from code").

Legend: N clips, K traits.
"""

from typing import Any, Final

import mlflow
import numpy as np
from mlflow.models import set_model

_BATCH_SIZE: Final = 32
"""Maximum number of clips per batch, which limits the memory of a large request."""


class ServedModel(mlflow.pyfunc.PythonModel):
    """Predict scores and prediction intervals with the packaged Keras model."""

    def load_context(self, context: Any) -> None:
        """Load the Keras model once, when the server starts."""
        from pathlib import Path

        from pipeline.models.persistence import load_model
        from pipeline.records.calibration import read_calibration, uncalibrated
        from pipeline.records.data_description import read_data

        self._model = load_model(Path(context.artifacts["keras_model"]))
        calibration = context.artifacts.get("calibration")
        trait_names = read_data(Path(context.artifacts["data"])).trait_names
        self._calibration = (
            read_calibration(Path(calibration), trait_names)
            if calibration
            else uncalibrated(trait_names)
        )

    # In fact, `model_input` is a dictionary of named arrays. MLflow derives a schema from a type
    # hint, and warns if this fails. There is no warning here, because MLflow ignores `np.ndarray`.
    def predict(self, context: Any, model_input: np.ndarray, params: Any = None) -> Any:
        """Return scores of shape (N, K) for the named inputs that `read_inputs` accepts.

        If the parameter `intervals` is true, the shape is (N, K, 3). The last axis contains the
        score, the lower end of its prediction interval, and the upper end.

        Raises:
            RequestError: If an input is invalid. The server answers with status 400.
        """
        from pipeline.models.inference import infer
        from pipeline.models.token_masks import absent_streams
        from pipeline.tracking.served_inputs import check_distances, read_inputs

        del context
        inputs = read_inputs(
            self._model.inputs, model_input, absent_streams=absent_streams(self._model)
        )
        check_distances(self._model, inputs)
        scores = infer(self._model, inputs, batch_size=_BATCH_SIZE)
        if not (params or {}).get("intervals"):
            return scores
        return np.stack([scores, *self._calibration.intervals(scores)], axis=-1)


set_model(ServedModel())
