import keras

from pipeline.models import WeightCounts, count_weights


def test_frozen_weights_and_statistics_count_in_the_total_only():
    model = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(4), keras.layers.BatchNormalization()]
    )
    assert count_weights(model) == WeightCounts(trainable=16 + 8, total=16 + 16)
    model.layers[0].trainable = False
    assert count_weights(model) == WeightCounts(trainable=8, total=16 + 16)


def test_a_model_with_everything_frozen_has_nothing_to_learn(vectors):
    model = vectors.build()
    model.trainable = False
    assert count_weights(model).trainable == 0
    assert count_weights(model).total > 0
