"""A finished run as a Python object: tables, figures and the model.

Shapes: N clips, H heads, Q queries, T keys, K traits.
"""

import contextlib
import functools
import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from pipeline.api.display import Displayed
from pipeline.api.evaluation import EvaluationResult, headline_scores
from pipeline.config.loading import load_run_config
from pipeline.config.schema import ExperimentConfig
from pipeline.core.errors import PipelineError, RunError
from pipeline.core.near_names import did_you_mean
from pipeline.core.run_directory import RunDirectory, open_run_directory
from pipeline.core.run_log import effective_events, read_events, read_last_status
from pipeline.core.tensorflow_import import import_tensorflow_quietly
from pipeline.evaluation.score_table import score_table
from pipeline.metrics.regression import METRICS
from pipeline.records.attention import AttentionMeasurements, read_attention
from pipeline.records.calibration import read_calibration
from pipeline.records.epochs import epoch_records
from pipeline.records.evaluation import read_report
from pipeline.records.manifest import check_files
from pipeline.records.predictions import read_predictions
from pipeline.records.summary import Summary, read_summary

if TYPE_CHECKING:
    import keras
    from matplotlib.figure import Figure

    from pipeline.figures.base.spec import FigureSpec

_MEANS = tuple((metric, f"val_{metric}") for metric in METRICS)
"""Columns of the means over the traits: training and validation."""

_RUN_URI = re.compile(r"(?:runs:/)?([0-9a-f]{32})/?")


class Run(Displayed):
    """A run directory of `train`: settings, tables, figures and the trained model.

    Each property reads the files of the run when it is used. Only `model` loads TensorFlow.

    Example:
        >>> run = pipeline.Run.load("runs/20260101-120000-demo-1a2b3c4d")
        >>> run.history[["loss", "val_loss"]].plot()
        >>> run.evaluation.scores.loc["r2"]
        >>> run.predictions("validation").head()
        >>> run.figure("calibration").savefig("calibration.pdf")

    Args:
        path: Run directory.

    Raises:
        RunError: If the directory contains no run.
    """

    def __init__(self, path: str | Path) -> None:
        self._directory: RunDirectory = open_run_directory(Path(path).expanduser())
        self._run_id = ""

    @classmethod
    def load(cls, source: "str | Path | Run", *, download_dir: str | Path | None = None) -> "Run":
        """Load a run from a directory or from MLflow.

        Args:
            source: Run directory; or `runs:/RUN_ID` or the id of an MLflow run.
            download_dir: Directory for the artifacts of an MLflow run whose run directory is not
                on this machine; `results/RUN_ID` by default.

        Raises:
            RunError: If there is no such run, or MLflow is not reachable.

        Example:
            >>> pipeline.Run.load("runs/my-run")
            >>> pipeline.Run.load("runs:/0123456789abcdef0123456789abcdef")
        """
        if isinstance(source, Run):
            return source
        match = _RUN_URI.fullmatch(str(source))
        if match is None or Path(source).is_dir():
            return cls(source)
        from pipeline.tracking.existing_runs import download_run, local_run_directory

        run_id = match[1]
        path = local_run_directory(run_id)
        if path is None:
            target = Path("results") / run_id if download_dir is None else Path(download_dir)
            path = download_run(run_id, target)
        run = cls(path)
        run._run_id = run_id
        return run

    @property
    def path(self) -> Path:
        """Run directory."""
        return self._directory.path

    @property
    def name(self) -> str:
        """Name of the run directory."""
        return self.path.name

    @property
    def status(self) -> str:
        """`finished`, `failed`, `killed`, or `not finished`."""
        return (read_last_status(self._directory) or "not finished").lower()

    @property
    def report_path(self) -> Path:
        """Path of the HTML report. `train` and `visualize` write this file."""
        return self._directory.report_path

    @functools.cached_property
    def config(self) -> ExperimentConfig:
        """Settings of the run, including default values, e.g. `run.config.training.num_epochs`."""
        return load_run_config(self._checked(self._directory.config_path))

    @property
    def summary(self) -> Summary:
        """Numbers of clips, groups and weights, and the best epoch."""
        return read_summary(self._checked(self._directory.summary_path))

    @property
    def history(self) -> pd.DataFrame:
        """Losses, metrics, learning rates and times, with one row per epoch.

        The index is `epoch`, from 1. The columns have the names of Keras: `loss`, `mae` (mean over
        the traits) and `mae_openness` are of the training clips, and `val_loss`, `val_mae` and so
        on are of the validation clips. Training metrics are measured with active dropout.
        `train_seconds` and `validation_seconds` are times.
        """
        path = self._checked(self._directory.run_log_path)
        records = epoch_records(effective_events(read_events(path)))
        rows = [
            {
                "epoch": record.epoch,
                **record.logs(),
                "train_seconds": record.train_seconds,
                "validation_seconds": record.validation_seconds,
            }
            for record in records
        ]
        if not rows:
            return pd.DataFrame()
        table = pd.DataFrame(rows).set_index("epoch")
        means = [name for pair in (("loss", "val_loss"), *_MEANS) for name in pair if name in table]
        return table[[*means, *(name for name in table if name not in means)]]

    @property
    def evaluation(self) -> EvaluationResult:
        """Newest evaluation of the run: metrics with intervals, and baselines.

        Raises:
            RunError: If no clips were held out, or the training has not ended.
        """
        path = self._checked(self._directory.evaluation_path)
        return EvaluationResult(read_report(path), path=path, is_ridge=self._is_ridge)

    def predictions(self, split: str = "validation") -> pd.DataFrame:
        """Return the annotated and predicted scores of a subset, with one row per clip.

        The columns are `clip_id`, `group`, and for each trait, for instance, `openness` (predicted
        score), `openness_low` and `openness_high` (ends of the 90 % prediction interval) and
        `true_openness` (annotated score). All scores are in [0, 1].

        Args:
            split: `validation`; or `test` or `all` after an evaluation of these clips.

        Raises:
            RunError: If the run has no predictions for the split.

        Example:
            >>> table = run.predictions()
            >>> (table["openness"] - table["true_openness"]).abs().mean()
        """
        path = self._directory.predictions_path(split)
        if not path.exists():
            known = sorted(each.stem for each in path.parent.glob("*.csv"))
            raise RunError(
                f"{path}: there are no predictions for the split {split!r}; the run has "
                f"predictions for: {', '.join(known) or 'no split'}. Create them with "
                f"pipeline.evaluate(run, split={split!r}).{did_you_mean(split, known)}"
            )
        stored = read_predictions(self._checked(path))
        calibration_path = self._directory.calibration_path
        if calibration_path.exists():
            self._checked(calibration_path)
        calibration = read_calibration(calibration_path, stored.trait_names)
        table = score_table(stored.clip_ids, stored.y_pred, calibration)
        table.insert(1, "group", list(stored.groups))
        if stored.y_true is not None:
            for index, trait in enumerate(stored.trait_names):
                position = int(table.columns.get_loc(trait)) + 3
                table.insert(position, f"true_{trait}", stored.y_true[:, index])
        return table

    @property
    def attention(self) -> AttentionMeasurements:
        """Attention weights on the held-out clips, as named arrays.

        `mean_maps["block_1/static_to_dynamic"]` has shape (H, Q, T): the mean weights from static
        queries to dynamic keys, per head. `trait_attention["static"]` has shape (K, T): the mean
        weights of each trait on the keys of the static stream. `entropy` contains, for each map,
        the entropy per clip and head, shape (N, H). The class documents all arrays.

        Raises:
            RunError: If the attention was not measured (`evaluation.figures: false`).
        """
        return read_attention(self._checked(self._directory.attention_path))

    @property
    def figures(self) -> tuple[str, ...]:
        """Names of the figures for which the run has data."""
        specs, inputs = self._figure_specs()
        found = []
        for name, spec in specs.items():
            with contextlib.suppress(PipelineError):
                spec.build_data(inputs)
                found.append(name)
        return tuple(found)

    def figure(
        self,
        name: str,
        *,
        split: Literal["validation", "test", "all"] = "validation",
        style: Literal["screen", "paper"] = "screen",
    ) -> "Figure":
        """Draw one figure.

        Args:
            name: Name of the figure; `figures` contains all names.
            split: Evaluated clips in the figure.
            style: `screen`, or `paper` for figures without titles, as wide as one or two columns.

        Returns:
            A new Matplotlib figure. Notebooks show it. `figure.savefig(path)` writes it to a file.

        Raises:
            PipelineError: If the name is unknown, or the run has no data for this figure.

        Example:
            >>> run.figure("calibration", style="paper").savefig("calibration.pdf")
        """
        from pipeline.figures.base.style import STYLES

        specs, inputs = self._figure_specs(split)
        for given, known, kind in ((name, specs, "figure"), (style, STYLES, "style")):
            if given not in known:
                raise PipelineError(
                    f"there is no {kind} {given!r}.{did_you_mean(given, known)} The {kind}s are: "
                    f"{', '.join(known)}."
                )
        spec = specs[name]
        figure: Figure = spec.draw(spec.build_data(inputs), STYLES[style])
        # IPython shows figures only after the import of pyplot. With this method, it shows any.
        vars(figure)["_repr_png_"] = functools.partial(_png, figure)
        return figure

    @functools.cached_property
    def model(self) -> "keras.Model":
        """The trained Keras model, with the weights of the best epoch."""
        import_tensorflow_quietly()
        from pipeline.workflows.trained_model import load_model

        if self._directory.model_path.exists() or not self._run_id:
            return load_model(self.path)
        from pipeline.tracking.existing_runs import model_of_run

        return load_model(model_of_run(self._run_id))

    @property
    def _is_ridge(self) -> bool:
        return self._directory.summary_path.exists() and self.summary.is_ridge

    def _figure_specs(
        self, split: str = "validation"
    ) -> "tuple[Mapping[str, FigureSpec], Mapping[str, Any]]":
        """Return the specifications of all figures by name, and the inputs of the figures."""
        from pipeline.figures.gallery import figure_specs
        from pipeline.workflows.visualize import read_inputs

        inputs = read_inputs(self._directory, split)
        return figure_specs(inputs["trait_names"]), inputs

    def _checked(self, path: Path) -> Path:
        """Check that a file of the run exists and is complete, and return its path."""
        if not path.exists():
            raise RunError(
                f"{path}: the run does not have this file. The run is {self.status}; `python -m "
                f"pipeline train --resume {self.path}` continues a run that has not finished."
            )
        check_files(self._directory, path)
        return path

    def _title(self) -> str:
        return f"Run {self.name} ({self.status})"

    def _values(self) -> Mapping[str, str]:
        values = {"directory": str(self.path)}
        if self._directory.summary_path.exists():
            summary = self.summary
            subsets = summary.num_clips.items()
            values |= {
                "clips": ", ".join(f"{number:,} {name}" for name, number in subsets if number),
                "epochs": f"{summary.num_epochs}, best: {summary.best_epoch}",
            }
        if self._directory.evaluation_path.exists():
            evaluation = self.evaluation
            values["evaluated"] = (
                f"{evaluation.split} clips; {evaluation.report.interval_name}s in brackets"
            )
            values |= headline_scores(evaluation.report)
        if self.report_path.exists():
            values["report"] = str(self.report_path)
        return values


def _png(figure: "Figure") -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
