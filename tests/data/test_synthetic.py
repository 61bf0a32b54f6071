"""The built-in set holds what its module promises, on every machine."""

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
def made():
    return generate_clips(SyntheticConfig(num_clips=3000))


def linear_r2(inputs, targets) -> float:
    """The in-sample R² of least squares, averaged over the targets."""
    design = np.column_stack([inputs, np.ones(len(inputs))])
    residual = targets - design @ np.linalg.lstsq(design, targets, rcond=None)[0]
    return float(1 - (residual**2).sum() / ((targets - targets.mean(axis=0)) ** 2).sum())


class TestClips:
    def test_the_numbers_are_those_of_every_machine(self):
        # Scores that were published on the built-in set hang on them.
        small = generate_clips(SMALL)
        digest = hashlib.sha256()
        for array in (small.static, small.dynamic, small.labels):
            digest.update(array.astype("<f4").tobytes())
        digest.update(small.clips.to_csv(index=False).encode())
        assert digest.hexdigest() == FROZEN

    def test_another_seed_makes_another_set(self):
        other = generate_clips(SyntheticConfig(num_clips=60, seed=1))
        assert not np.array_equal(
            other.labels, generate_clips(SyntheticConfig(num_clips=60)).labels
        )

    def test_shapes_are_those_asked_for(self):
        small = generate_clips(SMALL)
        assert small.static.shape == (20, 3, 8)
        assert small.dynamic.shape == (20, 3, 4)
        assert small.labels.shape == small.truth.shape == (20, 5)

    def test_groups_have_the_size_asked_for_and_the_last_one_the_rest(self):
        clips = generate_clips(SMALL).clips
        assert clips["group"].value_counts(sort=False).tolist() == [6, 6, 6, 2]
        assert clips["clip_id"].is_unique
        assert clips["clip_id"].iloc[7] == "video00001.001"

    def test_clips_of_a_group_share_their_camera(self):
        clips = generate_clips(SMALL).clips
        assert (clips.groupby("group")["camera"].nunique() == 1).all()
        assert clips["camera"].nunique() == 2

    def test_clips_of_a_group_resemble_each_other(self, made):
        # Half of a score is its group's: between groups lies half of the variance.
        groups = made.truth.reshape(-1, 6, 5)
        share = groups.mean(axis=1).var(axis=0) / made.truth.var(axis=0)
        np.testing.assert_allclose(share, 0.5 + 0.5 / 6, atol=0.05)

    def test_labels_are_truth_and_noise_within_the_scale(self, made):
        error = made.labels - made.truth
        assert error.std() == pytest.approx(0.03, rel=0.02)
        assert abs(error.mean()) < 5 * 0.03 / np.sqrt(error.size)
        loud = generate_clips(SyntheticConfig(num_clips=600, noise=0.2)).labels
        assert loud.min() == 0.0
        assert loud.max() == 1.0


class TestPlantedSignal:
    def test_motion_tells_the_marked_step(self, made):
        rows = np.arange(len(made.marked_step))
        marker = made.dynamic[rows, made.marked_step].mean(axis=0)
        found = (made.dynamic @ marker).argmax(axis=1)
        assert (found == made.marked_step).mean() > 0.99

    def test_the_table_names_the_marked_step(self, made):
        assert made.clips["marked_step"].astype(int).tolist() == made.marked_step.tolist()

    def test_every_step_is_marked_equally_often(self, made):
        shares = np.bincount(made.marked_step, minlength=8) / len(made.marked_step)
        np.testing.assert_allclose(shares, 1 / 8, atol=0.025)

    def test_the_marked_frame_tells_the_traits(self, made):
        marked = made.static[np.arange(len(made.static)), made.marked_step]
        assert linear_r2(marked, made.truth) > 0.99

    def test_no_fixed_frame_and_no_average_tells_them(self, made):
        for step in range(8):
            assert linear_r2(made.static[:, step], made.truth) < 0.1
        assert linear_r2(made.static.mean(axis=1), made.truth) < 0.2

    def test_motion_alone_tells_nothing(self, made):
        flat = made.dynamic.reshape(len(made.dynamic), -1)
        # Chance: 128 inputs explain 128/3000 of anything in the sample.
        assert linear_r2(flat, made.truth) < 2 * flat.shape[1] / len(flat)

    def test_the_marked_frame_looks_like_the_others(self, made):
        lengths = np.linalg.norm(made.static, axis=2)
        marked = np.zeros(lengths.shape, dtype=bool)
        marked[np.arange(len(lengths)), made.marked_step] = True
        difference = lengths[marked].mean() - lengths[~marked].mean()
        assert abs(difference) < 4 * lengths.std() / np.sqrt(len(lengths))


class TestBestPossibleScore:
    def test_it_is_what_the_noise_leaves(self):
        config = SyntheticConfig(noise=0.06)
        made = generate_clips(config)
        expected = 1 - 0.06**2 / made.labels.var(axis=0, dtype=np.float64)
        best = best_possible_r2(config, made.clips["clip_id"].tolist())
        assert best == pytest.approx(expected.mean(), abs=0.01)

    def test_it_is_1_without_noise(self):
        config = SyntheticConfig(num_clips=60, noise=0.0)
        clip_ids = generate_clips(config).clips["clip_id"].tolist()
        assert best_possible_r2(config, clip_ids) == pytest.approx(1.0, abs=1e-12)

    def test_only_the_clips_asked_for_count(self):
        made = generate_clips(SMALL)
        labels, truth = made.labels[:6].astype(np.float64), made.truth[:6]
        expected = 1 - ((labels - truth) ** 2).sum(0) / ((labels - labels.mean(0)) ** 2).sum(0)
        best = best_possible_r2(SMALL, made.clips["clip_id"].tolist()[:6])
        assert best == pytest.approx(expected.mean(), rel=1e-12)


class TestOnDisk:
    def test_what_is_written_is_what_was_generated(self, tmp_path):
        ensure_synthetic_set(tmp_path / "demo", SMALL)
        features, small = load_feature_set(tmp_path / "demo"), generate_clips(SMALL)
        rows = np.arange(20)
        np.testing.assert_array_equal(features.static.read(rows), small.static)
        np.testing.assert_array_equal(features.dynamic.read(rows), small.dynamic)
        np.testing.assert_array_equal(features.checked_labels(), small.labels)
        assert features.metadata["encoder"] == "synthetic"

    def test_a_set_that_is_there_is_left_as_it_is(self, tmp_path):
        ensure_synthetic_set(tmp_path / "demo", SMALL)
        before = {path.name: path.stat().st_ino for path in (tmp_path / "demo").iterdir()}
        ensure_synthetic_set(tmp_path / "demo", SMALL)
        assert {path.name: path.stat().st_ino for path in (tmp_path / "demo").iterdir()} == before

    def test_an_empty_directory_is_filled(self, tmp_path):
        (tmp_path / "demo").mkdir()
        ensure_synthetic_set(tmp_path / "demo", SMALL)
        assert load_feature_set(tmp_path / "demo").num_clips == 20

    def test_a_set_of_other_settings_is_refused(self, tmp_path):
        ensure_synthetic_set(tmp_path / "demo", SMALL)
        with pytest.raises(FeatureSetError, match=r"demo: holds another feature set .* delete the"):
            ensure_synthetic_set(tmp_path / "demo", SyntheticConfig(num_clips=30))

    def test_files_of_a_user_are_refused_and_stay(self, tmp_path):
        (tmp_path / "demo").mkdir()
        (tmp_path / "demo" / "thesis.txt").touch()
        with pytest.raises(FeatureSetError, match="holds another feature set"):
            ensure_synthetic_set(tmp_path / "demo", SMALL)
        assert [path.name for path in (tmp_path / "demo").iterdir()] == ["thesis.txt"]

    def test_two_processes_that_start_together_write_once(self, tmp_path):
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
