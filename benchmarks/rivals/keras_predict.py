"""Predict with `model.predict` of Keras: load the arrays and the model, predict and save.

python benchmarks/rivals/keras_predict.py MODEL FEATURES_DIR OUTPUT
"""

import sys
from pathlib import Path

import keras
import numpy as np

import pipeline.models  # noqa: F401  The import registers the layers of the model.


def main() -> None:
    """Predict the scores of all clips, and save them as an array (N, K)."""
    model_path, features_dir, output = map(Path, sys.argv[1:])
    model = keras.saving.load_model(model_path)
    inputs = [np.load(features_dir / f"{tensor.name}.npy") for tensor in model.inputs]
    np.save(output, model.predict(inputs, batch_size=256, verbose=0))


if __name__ == "__main__":
    main()
