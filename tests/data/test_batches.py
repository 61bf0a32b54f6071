import numpy as np
import pytest

from pipeline.core.errors import FeatureSetError
from pipeline.data import batches as batches_module
from pipeline.data.batches import (
    BATCH_BYTES,
    LabelledBatches,
    inference_batch_size,
    inference_batches,
)
from pipeline.data.feature_set import load_feature_set

ALL = np.arange(11)
MASK = np.random.default_rng(1).uniform(size=(11, 3)) < 0.5
MASK[:, 0] |= ~MASK.any(axis=1)


@pytest.fixture
def features(write_files):
    """Eleven clips; the first dynamic feature is the row number, and static steps are masked."""
    dynamic = np.arange(55, dtype=np.float32).reshape(11, 5)
    dynamic[:, 0] = ALL
    return load_feature_set(write_files(num_clips=11, dynamic__npy=dynamic, static_mask__npy=MASK))


def one_epoch(batches: LabelledBatches, epoch: int = 0):
    return batches.dataset(first_epoch=epoch).take(batches.num_batches)


def epoch_of(batches: LabelledBatches, epoch: int = 0) -> list[list[int]]:
    """Return the row numbers of an epoch, batch by batch."""
    return [inputs[1][:, 0].numpy().astype(int).tolist() for inputs, _ in one_epoch(batches, epoch)]


def order_of(features, *, epoch, seed=0, batch_size=4, cache="memory") -> tuple[int, ...]:
    batches = LabelledBatches(features, ALL, batch_size=batch_size, seed=seed, cache=cache)
    return tuple(row for batch in epoch_of(batches, epoch) for row in batch)


@pytest.mark.parametrize("cache", ["memory", "disk"])
@pytest.mark.parametrize(
    ("batch_size", "sizes"), [(4, [4, 4, 3]), (11, [11]), (32, [11]), (10, [10, 1])]
)
def test_an_epoch_has_each_clip_once(features, cache, batch_size, sizes):
    batches = LabelledBatches(features, ALL, batch_size=batch_size, seed=0, cache=cache)
    epoch = epoch_of(batches, 3)
    assert [len(batch) for batch in epoch] == sizes
    assert sorted(row for batch in epoch for row in batch) == list(range(11))
    assert batches.num_batches == len(sizes)


def test_without_a_seed_the_order_of_the_rows_is_kept(features):
    batches = LabelledBatches(features, np.array([9, 2, 5]), batch_size=2)
    assert epoch_of(batches) == epoch_of(batches, 4) == [[9, 2], [5]]


def test_the_order_depends_on_epoch_and_seed_and_not_on_batch_size_or_cache(features):
    assert len({order_of(features, epoch=epoch) for epoch in range(3)}) == 3
    assert len({order_of(features, epoch=5, seed=seed) for seed in range(3)}) == 3
    cases = [(4, "memory"), (5, "memory"), (4, "disk")]
    assert len({order_of(features, epoch=2, batch_size=b, cache=cache) for b, cache in cases}) == 1


@pytest.mark.parametrize("batch_size", [4, 32])
def test_one_iterator_returns_all_epochs(features, batch_size):
    batches = LabelledBatches(features, ALL, batch_size=batch_size, seed=0)
    iterator = iter(batches.dataset(first_epoch=2))
    found = [
        tuple(
            int(row)
            for _ in range(batches.num_batches)
            for row in next(iterator)[0][1].numpy()[:, 0]
        )
        for _ in range(3)
    ]
    assert found == [order_of(features, epoch=epoch) for epoch in (2, 3, 4)]


@pytest.mark.parametrize("cache", ["memory", "disk"])
def test_inputs_and_labels_belong_to_the_same_clips(features, cache):
    batches = LabelledBatches(features, ALL, batch_size=4, seed=0, cache=cache)
    for (static, dynamic, mask), labels in one_epoch(batches, 1):
        rows = dynamic[:, 0].numpy().astype(int)
        np.testing.assert_array_equal(static, features.streams["static"].read(rows))
        np.testing.assert_array_equal(dynamic, features.streams["dynamic"].read(rows))
        np.testing.assert_array_equal(mask, MASK[rows].astype(np.float32))
        np.testing.assert_array_equal(labels, features.checked_labels()[rows])


def test_the_static_mask_comes_before_the_dynamic_mask(write_files):
    features = load_feature_set(
        write_files(
            dynamic__npy=np.ones((4, 2, 5), dtype=np.float32),
            dynamic_mask__npy=np.ones((4, 2), dtype=bool),
            static_mask__npy=MASK[:4],
        )
    )
    inputs, _ = next(iter(LabelledBatches(features, ALL[:4], batch_size=4).dataset()))
    assert [tuple(array.shape) for array in inputs] == [(4, 3, 2), (4, 2, 5), (4, 3), (4, 2)]


@pytest.mark.parametrize("cache", ["memory", "disk"])
def test_only_the_batch_size_is_unknown_in_a_graph(features, cache):
    # A model is then traced once for all batch sizes.
    batches = LabelledBatches(features, ALL, batch_size=4, cache=cache)
    inputs, labels = batches.dataset().element_spec
    assert [tuple(spec.shape) for spec in inputs] == [(None, 3, 2), (None, 5), (None, 3)]
    assert tuple(labels.shape) == (None, 5)


def test_only_labelled_batches_need_labels(write_files):
    features = load_feature_set(write_files(labels__npy=None))
    with pytest.raises(FeatureSetError, match=r"has no labels\.npy"):
        LabelledBatches(features, ALL[:4], batch_size=2)
    assert len(list(inference_batches(features, ALL[:4], batch_size=3))) == 2


def test_inference_batches_have_the_inputs_of_training_in_the_order_of_the_rows(features):
    rows = np.array([9, 2, 5])
    trained = one_epoch(LabelledBatches(features, rows, batch_size=2))
    found = inference_batches(features, rows, batch_size=2)
    for arrays, (tensors, _) in zip(found, trained, strict=True):
        for array, tensor in zip(arrays, tensors, strict=True):
            assert array.dtype == np.float32
            np.testing.assert_array_equal(array, tensor)


def test_a_missing_mask_is_replaced_by_valid_steps_if_it_is_required(write_files):
    unmasked = load_feature_set(write_files())
    ((_, _, mask),) = inference_batches(unmasked, ALL[:2], batch_size=2, masked=["static"])
    assert mask.dtype == np.float32
    np.testing.assert_array_equal(mask, np.ones((2, 3)))


def test_the_inference_batch_size_is_limited_by_memory(features, write_files, monkeypatch):
    assert inference_batch_size(features, max_size=256) == 256
    shape = (4, 8, 112, 112, 3)
    images = np.lib.stride_tricks.as_strided(np.zeros(1, np.uint8), shape, (0,) * 5)
    image_set = load_feature_set(write_files("images", static__npy=images))
    expected = BATCH_BYTES // (4 * (8 * 112 * 112 * 3 + 5))
    assert inference_batch_size(image_set, max_size=256) == expected < 16
    monkeypatch.setattr(batches_module, "BATCH_BYTES", 1)
    assert inference_batch_size(features, max_size=256) == 1


def test_every_stream_has_an_input_and_masks_come_last(write_files):
    mask = np.array([[True], [False], [True], [True]])
    features = load_feature_set(
        write_files(
            audio__npy=np.ones((4, 7), dtype=np.float32),
            audio_mask__npy=mask,
            static_mask__npy=MASK[:4],
        )
    )
    for cache in ("memory", "disk"):
        batches = LabelledBatches(features, ALL[:4], batch_size=4, cache=cache)
        inputs, _ = next(iter(batches.dataset()))
        shapes = [tuple(array.shape) for array in inputs]
        assert shapes == [(4, 3, 2), (4, 5), (4, 7), (4, 3), (4, 1)]
        np.testing.assert_array_equal(inputs[-1], mask)
    (inputs,) = inference_batches(features, ALL[:2], batch_size=2, masked=["dynamic"])
    assert [array.shape for array in inputs[3:]] == [(2, 3), (2, 1), (2, 1)]


def test_nothing_is_tuned(features):
    """The tuning thread would delay the deletion of an iterator by up to several seconds."""
    batches = LabelledBatches(features, ALL, batch_size=4)
    assert batches.dataset().options().autotune.enabled is False
