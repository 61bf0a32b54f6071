import json

import pytest

from pipeline.core.run_directory import RunDirectory

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def finished(make_config, tmp_path_factory):
    """An uninterrupted cross-validation."""
    from pipeline.workflows.train import run_training

    path = tmp_path_factory.mktemp("finished") / "run"
    return run_training(make_config(training__num_folds=2), run_dir=path)


def test_an_interrupted_cross_validation_is_resumed_to_the_same_scores(
    finished, make_config, own_directory, monkeypatch
):
    from pipeline.workflows import cross_validation, folds
    from pipeline.workflows.train import resume_training, run_training

    monkeypatch.setattr(cross_validation, "num_usable_cores", lambda: 1)
    train, started = folds.train_nested, []

    def interrupt_the_second(run, *args, **kwargs):
        started.append(run.path.name)
        if len(started) == 2:
            raise KeyboardInterrupt
        return train(run, *args, **kwargs)

    monkeypatch.setattr(folds, "train_nested", interrupt_the_second)
    run_dir = own_directory / "run"
    with pytest.raises(KeyboardInterrupt):
        run_training(make_config(training__num_folds=2), run_dir=run_dir)
    resumed = resume_training(run_dir)
    assert started == ["fold-1", "fold-2", "fold-2"]
    name = "predictions/validation.csv"
    assert (run_dir / name).read_bytes() == (finished.run.path / name).read_bytes()
    assert resumed.history.history == finished.history.history


def test_the_final_model_trains_on_all_clips_for_the_median_of_the_best_epochs(finished):
    folds = [RunDirectory(path) for path in finished.run.folds_dir.iterdir()]
    best = [json.loads(fold.summary_path.read_text())["best_epoch"] for fold in folds]
    summary = json.loads(finished.run.summary_path.read_text())
    assert best == [1, 1]
    assert summary["num_epochs"] == 1
    assert summary["num_clips"] == {"train": 60, "validation": 0, "test": 0}
    lines = finished.run.split_path.read_text().splitlines()[1:]
    assert {line.rpartition(",")[2] for line in lines} == {"train"}
