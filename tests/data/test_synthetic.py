import hashlib
import subprocess
import sys

import numpy as np
import pytest

from pipeline.config.schema import SyntheticConfig
from pipeline.core.errors import FeatureSetError
from pipeline.data.feature_set import load_feature_set
from pipeline.data.synthetic import best_possible_r2, ensure_synthetic_set, generate_clips

FROZEN = "02c9e8dd16fdda98bad05831ef3afd4aac974df68a289889f6925cd78e801613"
SMALL = SyntheticConfig(num_clips=20, clips_per_group=6, num_steps=3, static_dim=8, dynamic_dim=4)


@pytest.fixture(scope="module")
def generated():
    return generate_clips(SyntheticConfig(num_clips=3000))


def linear_r2(inputs, targets) -> float:
    """Return the in-sample R² of least squares, averaged over the targets."""
    design = np.column_stack([inputs, np.ones(len(inputs))])
    residual = targets - design @ np.linalg.lstsq(design, targets, rcond=None)[0]
    return float(1 - (residual**2).sum() / ((targets - targets.mean(axis=0)) ** 2).sum())


def test_the_clips_are_the_same_on_every_machine():
    # Published scores on the built-in set depend on these numbers.
    small = generate_clips(SMALL)
    sha256 = hashlib.sha256()
    for array in (small.static, small.dynamic, small.labels):
        sha256.update(array.astype("<f4").tobytes())
    sha256.update(small.clips.to_csv(index=False).encode())
    assert sha256.hexdigest() == FROZEN
    assert small.static.shape == (20, 3, 8)
    assert small.dynamic.shape == (20, 3, 4)
    assert small.labels.shape == small.truth.shape == (20, 5)


def test_motion_shows_the_marked_step(generated):
    marker = generated.dynamic[np.arange(len(generated.marked_step)), generated.marked_step].mean(
        axis=0
    )
    found = (generated.dynamic @ marker).argmax(axis=1)
    assert (found == generated.marked_step).mean() > 0.99
    assert generated.clips["marked_step"].astype(int).tolist() == generated.marked_step.tolist()


def test_only_the_marked_frame_predicts_the_traits(generated):
    marked = generated.static[np.arange(len(generated.static)), generated.marked_step]
    assert linear_r2(marked, generated.truth) > 0.99
    for step in range(8):
        assert linear_r2(generated.static[:, step], generated.truth) < 0.1
    assert linear_r2(generated.static.mean(axis=1), generated.truth) < 0.2


@pytest.mark.parametrize(("noise", "tolerance"), [(0.06, 0.01), (0.0, 1e-12)])
def test_the_best_r2_follows_from_the_noise(noise, tolerance):
    config = SyntheticConfig(noise=noise)
    clips = generate_clips(config)
    expected = 1 - noise**2 / clips.labels.var(axis=0, dtype=np.float64)
    best = best_possible_r2(config, clips.clips["clip_id"].tolist())
    assert best == pytest.approx(expected.mean(), abs=tolerance)


def test_the_best_r2_uses_only_the_given_clips():
    clips = generate_clips(SMALL)
    labels, truth = clips.labels[:6].astype(np.float64), clips.truth[:6]
    expected = 1 - ((labels - truth) ** 2).sum(0) / ((labels - labels.mean(0)) ** 2).sum(0)
    best = best_possible_r2(SMALL, clips.clips["clip_id"].tolist()[:6])
    assert best == pytest.approx(expected.mean(), rel=1e-12)


def test_the_set_is_written_once(tmp_path):
    (tmp_path / "demo").mkdir()
    ensure_synthetic_set(tmp_path / "demo", SMALL)
    features, small = load_feature_set(tmp_path / "demo"), generate_clips(SMALL)
    rows = np.arange(20)
    np.testing.assert_array_equal(features.streams["static"].read(rows), small.static)
    np.testing.assert_array_equal(features.streams["dynamic"].read(rows), small.dynamic)
    np.testing.assert_array_equal(features.checked_labels(), small.labels)
    assert features.encoder == "synthetic"
    before = {path.name: path.stat().st_ino for path in (tmp_path / "demo").iterdir()}
    ensure_synthetic_set(tmp_path / "demo", SMALL)
    assert {path.name: path.stat().st_ino for path in (tmp_path / "demo").iterdir()} == before
    with pytest.raises(FeatureSetError, match=r"demo: is not the feature set .* delete the"):
        ensure_synthetic_set(tmp_path / "demo", SyntheticConfig(num_clips=30))


def test_two_processes_write_the_set_once(tmp_path):
    code = (
        "import sys, time; from pathlib import Path\n"
        "from pipeline.config.schema import SyntheticConfig\n"
        "from pipeline.data import synthetic\n"
        "write = synthetic.write_feature_set\n"
        "def slowly(*args, **kwargs):\n"
        "    print('written'); time.sleep(0.5); write(*args, **kwargs)\n"
        "synthetic.write_feature_set = slowly\n"
        "synthetic.ensure_synthetic_set(Path(sys.argv[1]), SyntheticConfig(num_clips=20))\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "demo")]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
    outputs = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert sorted(outputs) == [b"", b"written\n"]
    assert load_feature_set(tmp_path / "demo").num_clips == 20
