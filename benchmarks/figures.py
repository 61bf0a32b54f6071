"""Measure time and size of all figures and the report of a 50-epoch run.

The benchmark trains a small model for 50 epochs without figures. It then measures the attention,
draws all figures and writes the report, like `train`.

    python -m benchmarks.figures [--num_epochs 50]
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np

from pipeline.config.loading import load_config
from pipeline.core.tensorflow_import import import_tensorflow_quietly


def main() -> None:
    """Run the benchmark and print the results as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num_epochs", type=int, default=50)
    arguments = parser.parse_args()
    import_tensorflow_quietly()
    from pipeline.data.feature_set import load_feature_set
    from pipeline.records.attention import write_attention
    from pipeline.report.images import FIGURE_FOLDERS
    from pipeline.workflows.attention import measure_attention
    from pipeline.workflows.train import run_training
    from pipeline.workflows.visualize import visualize_run

    with tempfile.TemporaryDirectory() as directory:
        features_dir = Path(directory) / "features"
        settings = {
            "data.features_dir": str(features_dir),
            "training.num_epochs": arguments.num_epochs,
            "evaluation.figures": False,
            "tracking.enabled": False,
        }
        config = load_config(Path("experiments/demo.yaml"), settings)
        finished = run_training(config, run_dir=Path(directory) / "run")

        start = time.perf_counter()
        features = load_feature_set(features_dir)
        held_out = np.arange(features.num_clips)[:1200]
        measured = measure_attention(finished.network, features, held_out, seed=0)
        write_attention(finished.run.attention_path, measured)
        attention_seconds = time.perf_counter() - start

        start = time.perf_counter()
        visualization = visualize_run(finished.run)
        drawing_seconds = time.perf_counter() - start
        files = [
            path for folder in FIGURE_FOLDERS for path in (finished.run.path / folder).iterdir()
        ]
        size = sum(path.stat().st_size for path in [*files, visualization.report_path])
    print(
        json.dumps(
            {
                "num_figures": len(visualization.gallery.drawn),
                "seconds_drawing_and_report": round(drawing_seconds, 2),
                "seconds_measuring_attention": round(attention_seconds, 2),
                "megabytes": round(size / 1e6, 2),
            }
        )
    )


if __name__ == "__main__":
    main()
