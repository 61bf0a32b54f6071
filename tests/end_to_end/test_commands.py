"""`main` and `prepare`, and what every command does with what it is not given."""

import numpy as np
import pandas as pd
import pytest

from pipeline.data.feature_set import load_feature_set


@pytest.mark.slow
def test_main_trains_on_the_built_in_set_and_says_how_near_it_came(run_here, tmp_path):
    finished = run_here(
        *("main", "--run_dir", "demo", "--data.synthetic.num_clips", 240),
        *("--training.num_epochs", 1, "--evaluation.num_resamples", 100),
        *("--evaluation.figures", "false", "--model.fusion", "concat"),
        cwd=tmp_path,
    )
    assert (finished.status, finished.err) == (0, "")
    assert "of a best possible" in finished.out
    assert load_feature_set(tmp_path / "features" / "demo").num_clips == 240
    assert (tmp_path / "demo" / "evaluation.json").exists()


def test_prepare_joins_real_annotations_by_clip_id(run_here, tmp_path, shared_data):
    source = shared_data / "first_impressions"
    clips = pd.read_csv(source / "clips.csv", dtype=str)
    order = np.random.default_rng(0).permutation(len(clips))[:500]
    clips.iloc[order][["clip_id"]].to_csv(tmp_path / "clips.csv", index=False)
    for name in ("static", "dynamic"):
        np.save(tmp_path / f"{name}.npy", np.load(source / f"{name}.npy")[order])
    finished = run_here(
        *("prepare", "--annotations", source / "annotation_training.pkl"),
        *("--static_features", "static.npy", "--dynamic_features", "dynamic.npy"),
        *("--clips", "clips.csv", "--features_dir", "features"),
        cwd=tmp_path,
    )
    assert (finished.status, finished.err) == (0, "")
    prepared = load_feature_set(tmp_path / "features")
    np.testing.assert_allclose(
        prepared.checked_labels(), np.load(source / "labels.npy")[order], atol=1e-6
    )
    assert prepared.groups.tolist() == clips["group"].iloc[order].tolist()
    assert "500 clips of" in finished.out


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["evaluate"], "--run_dir RUN or --model_uri URI"),
        (["evaluate", "--run_dir", "x", "--model_uri", "y"], "and not both"),
        (["compare", "--run_a", "x"], "--run_a RUN --run_b RUN"),
        (["prepare", "--clips", "clips.csv"], "prepare needs --annotations, --static_features"),
        (["sync"], "--run_dir RUN"),
        (["train"], "No features are given"),
        (["evaluate", "--run_dir", "nowhere"], "nowhere: there is no such run directory"),
        (["compare", "--run_a", "x", "--run_b", "y"], "x: there is no such run directory"),
        (["sync", "--run_dir", "nowhere"], "nowhere: there is no such run directory"),
        (["train", "--resume", "nowhere"], "nowhere: there is no such run directory"),
        (["train", "--resume", "x", "--seed", "1"], "--seed would change it"),
        (["train", "--resume", "x", "--config", "y"], "--config would change it"),
        (["train", "--resume", "x", "--labels", "y"], "--labels would change it"),
    ],
    ids=" ".join,
)
def test_what_a_command_lacks_is_said_in_a_line(argv, words, run_here, tmp_path):
    finished = run_here(*argv, cwd=tmp_path)
    assert finished.status == 2
    (line,) = finished.err.splitlines()
    assert line.startswith("error: ")
    assert words in line
    assert list(tmp_path.iterdir()) == []
