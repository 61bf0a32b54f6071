"""Every clip once an epoch, in an order that depends on the seed and the epoch alone."""

import numpy as np
import pytest

from pipeline.core.errors import FeatureSetError
from pipeline.data import batches as batches_module
from pipeline.data.batches import (
    BATCH_BYTES,
    InferenceBatches,
    LabelledBatches,
    inference_batch_size,
)
from pipeline.data.feature_set import load_feature_set

NUM_CLIPS = 11
MASK = np.random.default_rng(1).uniform(size=(NUM_CLIPS, 3)) < 0.5
MASK[:, 0] |= ~MASK.any(axis=1)


@pytest.fixture
def features(write_files):
    """Eleven clips whose first dynamic feature is their row number; static steps are masked."""
    dynamic = np.arange(NUM_CLIPS * 5, dtype=np.float32).reshape(NUM_CLIPS, 5)
    dynamic[:, 0] = np.arange(NUM_CLIPS)
    return load_feature_set(
        write_files(num_clips=NUM_CLIPS, dynamic__npy=dynamic, static_mask__npy=MASK)
    )


def epoch_of(batches: LabelledBatches) -> list[list[int]]:
    """The row numbers of one pass, batch by batch."""
    return [inputs[1][:, 0].numpy().astype(int).tolist() for inputs, _ in batches.dataset()]


def flat(batches: list[list[int]]) -> list[int]:
    return [row for batch in batches for row in batch]


@pytest.mark.parametrize("cache", ["memory", "disk"])
@pytest.mark.parametrize(
    ("batch_size", "sizes"), [(4, [4, 4, 3]), (11, [11]), (32, [11]), (10, [10, 1])]
)
def test_every_clip_comes_once_the_last_partial_batch_included(features, cache, batch_size, sizes):
    batches = LabelledBatches(features, np.arange(11), batch_size=batch_size, seed=0, cache=cache)
    batches.shuffle_for(3)
    epoch = epoch_of(batches)
    assert [len(batch) for batch in epoch] == sizes
    assert sorted(flat(epoch)) == list(range(11))
    assert batches.num_batches == len(sizes)


def test_only_the_rows_asked_for_come(features):
    rows = np.array([9, 2, 5, 7])
    batches = LabelledBatches(features, rows, batch_size=3, seed=0)
    batches.shuffle_for(0)
    assert sorted(flat(epoch_of(batches))) == [2, 5, 7, 9]


def test_without_a_seed_the_order_of_the_rows_is_kept(features):
    batches = LabelledBatches(features, np.array([9, 2, 5]), batch_size=2)
    batches.shuffle_for(4)
    assert epoch_of(batches) == epoch_of(batches) == [[9, 2], [5]]


@pytest.fixture
def make_pictures(write_files):
    def make(*shape):
        static = np.lib.stride_tricks.as_strided(np.zeros(1, np.uint8), (4, *shape), (0,) * 5)
        return load_feature_set(
            write_files(num_clips=4, static__npy=static, dynamic__npy=np.zeros((4, 5)))
        )

    return make


def test_of_vectors_as_many_clips_as_are_wanted_go_at_once(features):
    assert inference_batch_size(features, max_size=256) == 256


def test_of_pictures_fewer_clips_go_at_once(make_pictures):
    num_clips = inference_batch_size(make_pictures(8, 112, 112, 3), max_size=256)
    assert num_clips == BATCH_BYTES // (4 * (8 * 112 * 112 * 3 + 5)) < 16


def test_one_clip_goes_however_large_it_is(features, monkeypatch):
    monkeypatch.setattr(batches_module, "BATCH_BYTES", 1)
    assert inference_batch_size(features, max_size=256) == 1


class TestOrder:
    def test_it_depends_on_the_epoch(self, features):
        batches = LabelledBatches(features, np.arange(11), batch_size=4, seed=0)
        orders = []
        for epoch in range(3):
            batches.shuffle_for(epoch)
            orders.append(tuple(flat(epoch_of(batches))))
        assert len(set(orders)) == 3

    def test_it_depends_on_the_seed(self, features):
        orders = set()
        for seed in range(3):
            batches = LabelledBatches(features, np.arange(11), batch_size=4, seed=seed)
            batches.shuffle_for(5)
            orders.add(tuple(flat(epoch_of(batches))))
        assert len(orders) == 3

    def test_it_does_not_depend_on_the_epochs_before(self, features):
        whole = LabelledBatches(features, np.arange(11), batch_size=4, seed=0)
        for epoch in range(8):
            whole.shuffle_for(epoch)
            last = epoch_of(whole)
        resumed = LabelledBatches(features, np.arange(11), batch_size=4, seed=0)
        resumed.shuffle_for(7)
        assert epoch_of(resumed) == last

    def test_it_does_not_depend_on_the_batch_size_or_the_cache(self, features):
        orders = set()
        for batch_size, cache in [(4, "memory"), (5, "memory"), (4, "disk")]:
            batches = LabelledBatches(
                features, np.arange(11), batch_size=batch_size, seed=0, cache=cache
            )
            batches.shuffle_for(2)
            orders.add(tuple(flat(epoch_of(batches))))
        assert len(orders) == 1

    def test_a_data_set_that_is_made_once_takes_the_order_of_each_epoch(self, features):
        batches = LabelledBatches(features, np.arange(11), batch_size=4, seed=0)
        dataset = batches.dataset()
        passes = []
        for epoch in (0, 1, 0):
            batches.shuffle_for(epoch)
            passes.append([row for inputs, _ in dataset for row in inputs[1][:, 0].numpy()])
        assert passes[0] == passes[2] != passes[1]


class TestContent:
    def test_inputs_are_static_dynamic_mask_and_stand_beside_their_labels(self, features):
        batches = LabelledBatches(features, np.arange(11), batch_size=4, seed=0)
        batches.shuffle_for(1)
        for (static, dynamic, mask), labels in batches.dataset():
            rows = dynamic[:, 0].numpy().astype(int)
            np.testing.assert_array_equal(static, features.static.read(rows))
            np.testing.assert_array_equal(dynamic, features.dynamic.read(rows))
            np.testing.assert_array_equal(mask, MASK[rows].astype(np.float32))
            np.testing.assert_array_equal(labels, features.checked_labels()[rows])

    def test_the_mask_of_static_comes_before_that_of_dynamic(self, write_files):
        rng = np.random.default_rng(0)
        dynamic_mask = np.ones((4, 2), dtype=bool)
        features = load_feature_set(
            write_files(
                dynamic__npy=rng.normal(size=(4, 2, 5)).astype(np.float32),
                dynamic_mask__npy=dynamic_mask,
                static_mask__npy=MASK[:4],
            )
        )
        inputs, _ = next(iter(LabelledBatches(features, np.arange(4), batch_size=4).dataset()))
        assert [tuple(array.shape) for array in inputs] == [(4, 3, 2), (4, 2, 5), (4, 3), (4, 2)]

    def test_both_caches_yield_the_same_bits(self, features):
        passes = []
        for cache in ("memory", "disk"):
            batches = LabelledBatches(features, np.arange(11), batch_size=4, seed=3, cache=cache)
            batches.shuffle_for(1)
            passes.append(
                [
                    [array.numpy().tobytes() for array in (*inputs, labels)]
                    for inputs, labels in batches.dataset()
                ]
            )
        assert passes[0] == passes[1]

    @pytest.mark.parametrize("cache", ["memory", "disk"])
    def test_shapes_but_for_the_clips_are_known_beforehand(self, features, cache):
        # A model is traced once for batches of any size, not once a size.
        inputs, labels = (
            LabelledBatches(features, np.arange(11), batch_size=4, cache=cache)
            .dataset()
            .element_spec
        )
        assert [tuple(spec.shape) for spec in inputs] == [(None, 3, 2), (None, 5), (None, 3)]
        assert tuple(labels.shape) == (None, 5)

    def test_a_set_without_labels_is_refused(self, write_files):
        features = load_feature_set(write_files(labels__npy=None))
        with pytest.raises(FeatureSetError, match=r"holds no labels\.npy"):
            LabelledBatches(features, np.arange(4), batch_size=2)


class TestInputBatches:
    def test_rows_come_in_order_with_the_last_partial_batch(self, features):
        rows = np.array([9, 2, 5])
        batches = list(InferenceBatches(features, rows, batch_size=2))
        assert [batch[1][:, 0].tolist() for batch in batches] == [[9.0, 2.0], [5.0]]

    def test_each_pass_begins_anew(self, features):
        batches = InferenceBatches(features, np.arange(11), batch_size=4)
        assert len(list(batches)) == len(list(batches)) == 3

    def test_inputs_are_those_of_training(self, features):
        (inputs,) = InferenceBatches(features, np.arange(11), batch_size=11)
        trained, _ = next(iter(LabelledBatches(features, np.arange(11), batch_size=11).dataset()))
        for array, tensor in zip(inputs, trained, strict=True):
            assert array.dtype == np.float32
            np.testing.assert_array_equal(array, tensor)

    def test_no_labels_are_needed(self, write_files):
        features = load_feature_set(write_files(labels__npy=None))
        assert len(list(InferenceBatches(features, np.arange(4), batch_size=3))) == 2

    def test_a_mask_that_is_asked_for_and_not_there_marks_every_step(self, write_files):
        mask = np.ones((4, 3), dtype=bool)
        masked = load_feature_set(write_files("masked", static_mask__npy=mask))
        silent = load_feature_set(write_files("silent"))
        rows = np.array([3, 1])
        (expected,) = InferenceBatches(masked, rows, batch_size=2, masked=["static"])
        (found,) = InferenceBatches(silent, rows, batch_size=2, masked=["static"])
        assert len(found) == 3
        for one, other in zip(found, expected, strict=True):
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other)
