import json

import pytest

from pipeline.core.errors import FeatureSetError
from pipeline.data.encoder import (
    UNKNOWN,
    check_encoder,
    encoder_caveat,
    encoder_in,
    encoder_of,
    first_difference,
)
from pipeline.data.feature_set import load_feature_set

ENCODER = {"sampling": {"num_steps": 16}, "static": {"encoder": "hog"}, "weights": ["ab", "cd"]}


@pytest.fixture
def made_by(write_files):
    """Return a function that makes a feature set whose `features.json` names an encoder."""

    def make(encoder):
        metadata = {} if encoder is None else {"encoder": encoder}
        return load_feature_set(write_files(features__json=json.dumps(metadata)))

    return make


def test_features_of_the_same_encoder_are_accepted(made_by):
    check_encoder(made_by(ENCODER), json.loads(json.dumps(ENCODER)))


def test_features_of_another_encoder_are_refused_by_the_setting_that_differs(made_by):
    other = {**ENCODER, "static": {"encoder": "vgg16"}}
    with pytest.raises(FeatureSetError) as refusal:
        check_encoder(made_by(other), ENCODER)
    assert "encoder.static.encoder is 'vgg16' here and 'hog' in the model" in str(refusal.value)
    assert "predict --videos_dir" in str(refusal.value)


def test_the_cure_names_the_recordings_that_the_model_is_for(made_by):
    of_crops = {"static": {"of": "given faces"}, "dynamic": {"of": "given flow"}}
    with pytest.raises(FeatureSetError, match="predict --face_dir with --flow_dir` does so"):
        check_encoder(made_by(ENCODER), of_crops)


@pytest.mark.parametrize(("found", "expected"), [(None, ENCODER), (ENCODER, UNKNOWN)])
def test_nothing_is_checked_where_one_side_does_not_say_what_made_it(made_by, found, expected):
    check_encoder(made_by(found), expected)


@pytest.mark.parametrize("encoder", [None, "", {}])
def test_features_that_do_not_say_what_made_them_are_of_an_unknown_encoder(made_by, encoder):
    assert encoder_of(made_by(encoder)) == UNKNOWN
    assert encoder_in({"encoder": encoder}) == UNKNOWN


@pytest.mark.parametrize(
    ("found", "expected", "words"),
    [
        (None, ENCODER, "features: does not say what made the features"),
        (ENCODER, UNKNOWN, "The model does not say what made the features"),
        (None, UNKNOWN, "features: does not say what made the features"),
    ],
)
def test_what_cannot_be_checked_is_told(made_by, found, expected, words):
    assert words in encoder_caveat(made_by(found), expected)


def test_features_and_a_model_that_name_their_encoder_leave_no_doubt(made_by):
    assert encoder_caveat(made_by(ENCODER), ENCODER) is None


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({**ENCODER, "sampling": {"num_steps": 8}}, "encoder.sampling.num_steps: 8, not 16"),
        ({**ENCODER, "sampling": {}}, "encoder.sampling.num_steps: not given, not 16"),
        ({**ENCODER, "flow": 1}, "encoder.flow: 1, not not given"),
        ({**ENCODER, "weights": ["ab", "ce"]}, "encoder.weights: ['ab', 'ce'], not ["),
        ("vgg16", "encoder: 'vgg16', not {"),
    ],
)
def test_a_difference_is_told_by_its_dotted_name_and_both_values(found, words):
    difference = first_difference(ENCODER, found, "encoder")
    assert words in f"{difference.name}: {difference.found}, not {difference.expected}"


def test_an_entry_that_is_null_differs_from_one_that_is_not_there():
    assert first_difference({"a": None}, {}, "encoder")


def test_long_values_are_shortened():
    difference = first_difference("a" * 500, "b" * 500, "encoder")
    assert max(len(difference.found), len(difference.expected)) <= 80
