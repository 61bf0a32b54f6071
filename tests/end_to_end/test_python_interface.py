"""The Python of the README, as it stands there."""

import re

import numpy as np
import pytest

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def code(repository):
    readme = (repository / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", readme, flags=re.DOTALL)
    return block


@pytest.fixture
def data(tmp_path, monkeypatch):
    """The files that the README names, for 40 clips of the widths that it names."""
    import mlflow

    monkeypatch.chdir(tmp_path)
    # Drawing takes most of the time of so short a run; test_visualize.py looks at it.
    monkeypatch.setattr("pipeline.workflows.training_steps._visualize", lambda *_: None)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    rng = np.random.default_rng(0)
    (tmp_path / "data").mkdir()
    for name, width in (("static_features", 512), ("dynamic_features", 256)):
        np.save(tmp_path / "data" / f"{name}.npy", rng.normal(size=(40, width)).astype(np.float32))
    np.save(tmp_path / "data" / "labels.npy", rng.uniform(0.3, 0.7, (40, 5)).astype(np.float32))
    yield tmp_path
    mlflow.set_tracking_uri(None)


def test_the_example_runs_and_warns_that_nothing_keeps_groups_apart(code, data):
    from pipeline import load_model
    from pipeline.data.splits import NoGroupsWarning

    quick, number = re.subn(r"epochs=\d+", "epochs=1", code)
    assert number == 2
    names: dict[str, object] = {}
    with pytest.warns(NoGroupsWarning, match=r"Give a clips\.csv"):
        exec(compile(quick, "README.md", "exec"), names)

    assert names["history"].history["val_mae"]
    assert names["report"].num_clips == 8
    inputs = [np.load(data / "data" / f"{name}_features.npy") for name in ("static", "dynamic")]
    scores = load_model(data / "results" / "model.h5").predict_on_batch(inputs)
    assert scores.shape == (40, 5)
    runs = sorted(path.name for path in (data / "runs").iterdir())
    assert len(runs) == 2
    assert any("custom_experiment" in name for name in runs)


def test_the_settings_of_the_example_are_those_of_its_model(code):
    assert "layer.trainable = True" in code
    assert "from pipeline import" in code
