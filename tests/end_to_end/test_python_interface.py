"""The Python examples of the documentation run unchanged."""

import re
from pathlib import Path

import mlflow
import numpy as np
import pytest

import pipeline
from pipeline.config.schema import SyntheticConfig
from pipeline.core.errors import RunError
from pipeline.core.traits import TRAITS
from pipeline.data.synthetic import ensure_synthetic_set

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """Working directory with 40 clips in single files, and two feature sets with groups."""
    path = tmp_path_factory.mktemp("python")
    rng = np.random.default_rng(0)
    (path / "data").mkdir()
    for name, width in (("static_features", 512), ("dynamic_features", 256)):
        np.save(path / "data" / f"{name}.npy", rng.normal(size=(40, width)).astype(np.float32))
    np.save(path / "data" / "labels.npy", rng.uniform(0.3, 0.7, (40, 5)).astype(np.float32))
    for name, seed in (("mine", 0), ("new", 1)):
        shape = {"num_steps": 3, "static_dim": 8, "dynamic_dim": 4, "seed": seed}
        features = SyntheticConfig(num_clips=120, clips_per_group=5, **shape)
        ensure_synthetic_set(path / "features" / name, features)
    return path


@pytest.fixture(autouse=True)
def _in_workspace(workspace, monkeypatch):
    monkeypatch.chdir(workspace)
    # The figures take most of the time, and test_visualize.py tests them.
    monkeypatch.setattr("pipeline.workflows.training_steps._visualize", lambda *_: None)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{workspace / 'mlflow.db'}")
    yield
    mlflow.set_tracking_uri(None)


def run_code(code):
    names: dict[str, object] = {}
    exec(compile(code, "example", "exec"), names)
    return names


def quick_code(code):
    """Return the code with one epoch per training."""
    quick, number = re.subn(r"(epochs\"?[=:] ?)\d+", r"\g<1>1", code)
    assert number
    return quick


def code_of(repository, page):
    """Return the Python examples of a page of the documentation."""
    text = (repository / "docs" / f"{page}.md").read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)


FIRST_VERSION = "train_personality_model"


def test_the_classes_of_the_first_version_run_and_warn_of_missing_groups(repository):
    from pipeline.data.splits import NoGroupsWarning

    (code,) = [code for code in code_of(repository, "python") if FIRST_VERSION in code]
    quick, number = re.subn(r"epochs=\d+", "epochs=1", code)
    assert number == 2
    with pytest.warns(NoGroupsWarning, match=r"Give a clips\.csv"):
        names = run_code(quick)
    assert names["history"].history["val_mae"]
    assert names["report"].num_clips == 8
    inputs = [np.load(f"data/{name}_features.npy") for name in ("static", "dynamic")]
    network = pipeline.load_model("results/model.h5")
    assert network.predict_on_batch(inputs).shape == (40, 5)
    assert any("custom_experiment" in path.name for path in Path("runs").iterdir())


@pytest.fixture(scope="module")
def tracked(workspace):
    """Run directory and id of a tracked run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(workspace)
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{workspace / 'mlflow.db'}")
        settings = {"training.num_epochs": 1, "data.test_fraction": 0.2}
        settings |= {"evaluation.figures": False, "tracking.patience_seconds": 60}
        run = pipeline.train(features_dir="features/mine", settings=settings, run_dir="tracked")
    (found,) = mlflow.search_runs(
        search_all_experiments=True,
        filter_string=f"tags.run_dir = '{run.path}'",
        output_format="list",
    )
    return run, found.info.run_id


@pytest.mark.parametrize("prefix", ["", "runs:/"])
def test_an_mlflow_run_is_its_run_directory(tracked, prefix):
    run, run_id = tracked
    assert pipeline.Run.load(f"{prefix}{run_id}").path == run.path


def test_an_mlflow_run_of_another_machine_is_downloaded(tracked, workspace):
    run, run_id = tracked
    original = pipeline.Run(run.path.rename(workspace / "moved"))
    try:
        copy = pipeline.Run.load(run_id)
        assert copy.path == workspace / "results" / run_id
        assert copy.history.equals(original.history)
        assert copy.predictions().equals(original.predictions())
        assert copy.evaluation.scores.equals(original.evaluation.scores)
        assert copy.model.count_params() == original.model.count_params()
    finally:
        original.path.rename(run.path)


def test_an_unknown_mlflow_run_is_an_error(tracked):
    with pytest.raises(RunError, match="not reachable"):
        pipeline.Run.load("0" * 32)


def test_the_examples_of_the_page_run(repository, tracked):
    examples = [code for code in code_of(repository, "python") if FIRST_VERSION not in code]
    # Searches have tests of their own, and this condition is false in the test.
    assert sum('__name__ == "__main__"' in code for code in examples) == 1
    code = quick_code("".join(examples)).replace('"runs/RUN"', "run.path")
    # The attention is measured together with the figures. The tutorial also reads it.
    code, number = re.subn(r"^run\.attention.*$", "", code, flags=re.MULTILINE)
    assert number == 1
    names = run_code(code.replace("runs/OTHER", str(tracked[0].path)))
    assert names["table"]["error"].between(0, 1).all()
    assert names["test"].split == "test"


def test_the_recipes_for_mlflow_run(repository, tracked):
    code = "".join(code_of(repository, "mlflow")).replace("features/demo", "features/mine")
    names = run_code(code.replace("RUN_ID", tracked[1]))
    assert names["traits"] == list(TRAITS)
    expected = names["network"].predict(names["inputs"], verbose=0)
    np.testing.assert_allclose(names["scores"], expected, atol=1e-5)


def test_the_example_of_the_readme_runs(repository):
    readme = (repository / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"## From Python\n.*?```python\n(.*?)```", readme, flags=re.DOTALL)
    assert "other" in run_code(quick_code(code))
