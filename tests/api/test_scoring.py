import numpy as np
import pandas as pd
import pytest

from pipeline.api.run import Run
from pipeline.api.scoring import evaluate, predict
from pipeline.config.schema import DataConfig
from pipeline.core.errors import ConfigError
from pipeline.data.synthetic import ensure_synthetic_set


@pytest.fixture
def features_dir(earlier_run):
    """The features of the run."""
    data: DataConfig = Run.load(earlier_run).config.data
    path = earlier_run.parent / data.features_dir
    ensure_synthetic_set(path, data.synthetic)
    return path


@pytest.mark.slow
def test_an_evaluation_of_other_clips_updates_the_run(earlier_run, caplog):
    run = Run.load(earlier_run)
    validation = run.evaluation
    result = evaluate(run, split="all")
    assert result.split == run.evaluation.split == "all"
    assert result.report.num_clips == len(run.predictions("all")) > validation.report.num_clips
    assert "expect worse metrics on new clips" in caplog.text
    assert result.path == earlier_run / "evaluation.json"


@pytest.mark.slow
def test_features_and_their_arrays_give_the_scores_of_the_evaluation(earlier_run, features_dir):
    stored = Run.load(earlier_run).predictions().set_index("clip_id")
    by_file = predict(earlier_run, features_dir, output="scores.csv")
    arrays = {path.stem: np.load(path) for path in features_dir.glob("*.npy")}
    del arrays["labels"]
    by_array = predict(earlier_run, arrays=arrays)
    scores = by_file.set_index("clip_id").loc[stored.index]
    np.testing.assert_allclose(scores["openness"], stored["openness"], atol=1e-3)
    pd.testing.assert_frame_equal(by_array.drop(columns="clip_id"), by_file.drop(columns="clip_id"))
    assert pd.read_csv("scores.csv").shape == by_file.shape


@pytest.mark.parametrize(
    "clips",
    [
        {},
        {"features_dir": "features", "videos_dir": "videos"},
        {"features_dir": "features", "arrays": {}},
        {"face_dir": "faces"},
    ],
    ids=lambda clips: " ".join(clips) or "none",
)
def test_clips_must_be_given_in_one_way(clips):
    with pytest.raises(ConfigError, match="in one way"):
        predict("runs/any", **clips)
