"""The Python example of the documentation runs unchanged."""

import re

import mlflow
import numpy as np
import pytest

pytestmark = pytest.mark.slow


@pytest.fixture
def data_dir(tmp_path, monkeypatch):
    """The input files of the example, for 40 clips."""
    monkeypatch.chdir(tmp_path)
    # The figures take most of the time, and test_visualize.py tests them.
    monkeypatch.setattr("pipeline.workflows.training_steps._visualize", lambda *_: None)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    rng = np.random.default_rng(0)
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    for name, width in (("static_features", 512), ("dynamic_features", 256)):
        np.save(data_dir / f"{name}.npy", rng.normal(size=(40, width)).astype(np.float32))
    np.save(data_dir / "labels.npy", rng.uniform(0.3, 0.7, (40, 5)).astype(np.float32))
    yield data_dir
    mlflow.set_tracking_uri(None)


def test_the_example_runs_and_warns_of_missing_groups(repository, data_dir):
    from pipeline import load_model
    from pipeline.data.splits import NoGroupsWarning

    page = (repository / "docs" / "python.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    assert "layer.trainable = True" in code
    quick, number = re.subn(r"epochs=\d+", "epochs=1", code)
    assert number == 2
    names: dict[str, object] = {}
    with pytest.warns(NoGroupsWarning, match=r"Give a clips\.csv"):
        exec(compile(quick, "docs/python.md", "exec"), names)

    assert names["history"].history["val_mae"]
    assert names["report"].num_clips == 8
    inputs = [np.load(data_dir / f"{name}_features.npy") for name in ("static", "dynamic")]
    network = load_model(data_dir.parent / "results" / "model.h5")
    assert network.predict_on_batch(inputs).shape == (40, 5)
    runs = sorted(path.name for path in (data_dir.parent / "runs").iterdir())
    assert len(runs) == 2
    assert any("custom_experiment" in name for name in runs)
