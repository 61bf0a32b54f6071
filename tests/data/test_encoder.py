import json
from pathlib import Path

import pytest

from pipeline.core.errors import FeatureSetError
from pipeline.data.encoder import (
    UNKNOWN,
    VIDEOS,
    check_encoder,
    encoder_caveat,
    first_difference,
)

FEATURES_DIR = Path("features")
ENCODER = {"sampling": {"num_steps": 16}, "static": {"encoder": "hog"}, "weights": ["ab", "cd"]}
VGG = {**ENCODER, "static": {"encoder": "vgg16"}}
CROPS = {"static": {"of": "given faces"}, "dynamic": {"of": "given flow"}}


@pytest.mark.parametrize(
    ("found", "expected"),
    [(ENCODER, json.loads(json.dumps(ENCODER))), (UNKNOWN, ENCODER), (ENCODER, UNKNOWN)],
)
def test_an_equal_or_unknown_encoder_is_accepted(found, expected):
    check_encoder(found, expected, FEATURES_DIR)


@pytest.mark.parametrize(
    ("found", "expected", "message"),
    [
        (VGG, ENCODER, "encoder.static.encoder is 'vgg16' here and 'hog' in the model"),
        (VGG, ENCODER, "in the same way, .* --columns"),
        (ENCODER, {name: {"of": VIDEOS} for name in CROPS}, "predict --videos_dir"),
        (ENCODER, CROPS, "predict --face_dir with --flow_dir"),
    ],
)
def test_another_encoder_is_an_error_with_the_difference_and_the_fix(found, expected, message):
    with pytest.raises(FeatureSetError, match=message):
        check_encoder(found, expected, FEATURES_DIR)


@pytest.mark.parametrize(
    ("found", "expected", "words"),
    [
        (UNKNOWN, ENCODER, "features: the encoder of the features is unknown"),
        (UNKNOWN, UNKNOWN, "features: the encoder of the features is unknown"),
        (ENCODER, UNKNOWN, "that the model was trained on is unknown"),
    ],
)
def test_an_unknown_encoder_is_a_caveat(found, expected, words):
    assert words in encoder_caveat(found, expected, FEATURES_DIR)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({**ENCODER, "sampling": {"num_steps": 8}}, "encoder.sampling.num_steps: 8, not 16"),
        ({**ENCODER, "sampling": {}}, "encoder.sampling.num_steps: not given, not 16"),
        ({**ENCODER, "flow": 1}, "encoder.flow: 1, not not given"),
        ({**ENCODER, "flow": None}, "encoder.flow: None, not not given"),
        ({**ENCODER, "weights": ["ab", "ce"]}, "encoder.weights: ['ab', 'ce'], not ["),
        ("vgg16", "encoder: 'vgg16', not {"),
    ],
)
def test_a_difference_has_a_dotted_name_and_both_values(found, words):
    difference = first_difference(ENCODER, found, "encoder")
    assert words in f"{difference.name}: {difference.found}, not {difference.expected}"
