"""`main` with the built-in set, and `prepare` with real annotations."""

import numpy as np
import pandas as pd
import pytest

from pipeline.data.feature_set import load_feature_set


@pytest.mark.slow
def test_main_trains_on_the_built_in_set_and_prints_the_best_possible_r2(run_here, tmp_path):
    result = run_here(
        *("main", "--run_dir", "demo", "--data.synthetic.num_clips", 240),
        *("--training.num_epochs", 1, "--evaluation.num_resamples", 100),
        *("--evaluation.figures", "false", "--model.fusion", "concat"),
        *("--tracking.patience_seconds", 60),
        cwd=tmp_path,
    )
    assert (result.status, result.err) == (0, "")
    assert "best possible" in result.out
    assert "prepare --help" in result.out.splitlines()[-1]
    assert load_feature_set(tmp_path / "features" / "demo").num_clips == 240
    assert (tmp_path / "demo" / "evaluation.json").exists()


def test_prepare_joins_real_annotations_by_clip_id(run_here, tmp_path, shared_data):
    source = shared_data / "first_impressions"
    clips = pd.read_csv(source / "clips.csv", dtype=str)
    order = np.random.default_rng(0).permutation(len(clips))[:500]
    clips.iloc[order][["clip_id"]].to_csv(tmp_path / "clips.csv", index=False)
    for name in ("static", "dynamic"):
        np.save(tmp_path / f"{name}.npy", np.load(source / f"{name}.npy")[order])
    result = run_here(
        *("prepare", "--annotations", source / "annotation_training.pkl"),
        *("--static_features", "static.npy", "--dynamic_features", "dynamic.npy"),
        *("--clips", "clips.csv", "--features_dir", "features"),
        cwd=tmp_path,
    )
    assert (result.status, result.err) == (0, "")
    prepared = load_feature_set(tmp_path / "features")
    np.testing.assert_allclose(
        prepared.checked_labels(), np.load(source / "labels.npy")[order], atol=1e-6
    )
    assert prepared.groups.tolist() == clips["group"].iloc[order].tolist()
    assert "annotations: 500 of 500 clips; 5500 annotated clips have no features." in result.out
    assert "Neuroticism is scored in reverse" in result.out
    assert result.out.splitlines()[-1].endswith("train --features_dir features")
