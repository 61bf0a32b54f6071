"""Files of other tools and label tables of other studies become a trained model."""

import numpy as np
import pytest

from pipeline.core.traits import TRAITS
from pipeline.data.feature_set import load_feature_set
from tests.end_to_end.foreign_files import (
    table_writer,
    write_archive,
    write_array_folder,
    write_blendshape_lines,
    write_blendshape_tables,
    write_embeddings,
    write_hdf5,
    write_labels,
    write_openface,
    write_opensmile_descriptors,
    write_opensmile_functionals,
    write_parts,
)

CLIPS = [f"{person}_{number}" for number in (1, 2, 3) for person in ("anna", "ben", "cara", "dan")]

STREAMS = {
    "folder of .npy": (write_array_folder, "arrays (.npy)", (16, 3)),
    ".npz with keys": (write_archive, "arrays, one file (.npz)", (16, 3)),
    ".h5": (write_hdf5, "arrays, one file (.h5)", (16, 3)),
    "folder of .csv": (table_writer(".csv"), "table of numbers", (16, 3)),
    "folder of .tsv": (table_writer(".tsv", "\t"), "table of numbers", (16, 3)),
    "folder of .parquet": (table_writer(".parquet"), "table of numbers", (16, 3)),
    "OpenFace": (write_openface, "OpenFace", (16, 4)),
    "openSMILE descriptors": (write_opensmile_descriptors, "openSMILE", (16, 3)),
    "openSMILE functionals": (write_opensmile_functionals, "openSMILE, one file", (2,)),
    "blendshapes .csv": (write_blendshape_tables, "MediaPipe blendshapes", (16, 49)),
    "blendshapes .jsonl": (write_blendshape_lines, "MediaPipe blendshapes", (16, 49)),
    "embeddings": (write_embeddings, "table of numbers, one file", (8,)),
}
"""Name -> function that writes the files, description of the format, and shape per clip."""

REAL = {
    "openface_a.csv": ("OpenFace", (16, 41)),
    "pyfeat_clip_001.csv": ("py-feat", (16, 30)),
}
"""Real table -> description of the format, and shape per clip."""

LABELS = {
    "non-neuroticism and subset": (
        "NAME_VIDEO Subset extraversion agreeableness conscientiousness non-neuroticism openness",
        (),
        {"high": 1},
        (0.5, 0.3, 0.1, 0.2, 0.4),
    ),
    "vlogger traits on 1-7": (
        "vlogId Extr Agr Cons Emot Open",
        ("--label_range", "1,7"),
        {"separator": " ", "low": 1, "high": 7},
        (0.4 / 6, 0.2 / 6, 0, 0.1 / 6, 0.3 / 6),
    ),
    "Likert scale with decimal commas": (
        "Filename O C E A N",
        ("--label_range", "1,5", "--reverse", "neuroticism"),
        {"separator": ";", "decimal": ",", "low": 1, "high": 5},
        (0, 0.1 / 4, 0.2 / 4, 0.3 / 4, 1 - 0.4 / 4),
    ),
}
"""Name -> header of the table, options of `prepare`, how the table is written, and OCEAN scores of
the first clip, whose cells are `low`, `low + 0.1`, ..."""

QUICK = (
    *("--training.num_epochs", 2, "--model.fusion_dim", 8, "--model.num_heads", 2),
    *("--model.fusion", "concat", "--evaluation.num_resamples", 100),
    *("--evaluation.figures", "false", "--tracking.patience_seconds", 60),
    *("--tracking.package_model", "false"),
)


@pytest.fixture
def prepare(run_here, tmp_path):
    """Return a function that prepares streams with a label table, and returns the output."""

    def prepare(streams, *options):
        result = run_here(
            "prepare",
            *(word for name, path in streams.items() for word in ("--stream", f"{name}={path}")),
            *("--groups", "prefix", "--features_dir", "features", *options),
            cwd=tmp_path,
        )
        assert (result.status, result.err) == (0, "")
        assert "12 clips in 4 groups" in result.out
        return result.out

    return prepare


@pytest.fixture
def train(run_here, tmp_path):
    """Return a function that trains on the prepared feature set."""

    def train():
        command = ("train", "--features_dir", "features", "--run_dir", "run")
        result = run_here(*command, *QUICK, cwd=tmp_path)
        assert result.status == 0, result.err
        assert (tmp_path / "run" / "model.keras").exists()

    return train


def check_stream(features_dir, output, description, shape):
    assert f"{description}: 12 of 12 clips" in output
    features = load_feature_set(features_dir)
    clip_ids = [clip.removesuffix(".mp4") for clip in features.clip_ids]
    assert sorted(clip_ids) == sorted(CLIPS)
    groups = dict(zip(clip_ids, features.groups, strict=True))
    assert groups == {clip: clip.partition("_")[0] for clip in CLIPS}
    assert features.streams["face"].shape[1:] == shape


@pytest.mark.parametrize("name", STREAMS)
def test_files_of_a_tool_become_a_feature_set(name, prepare, tmp_path):
    write, description, shape = STREAMS[name]
    output = prepare({"face": write(tmp_path, CLIPS)})
    check_stream(tmp_path / "features", output, description, shape)


@pytest.mark.parametrize("name", REAL)
def test_real_files_of_a_tool_become_a_feature_set(name, prepare, tmp_path, shared_data):
    description, shape = REAL[name]
    output = prepare({"face": write_parts(shared_data / "foreign" / name, tmp_path, CLIPS)})
    check_stream(tmp_path / "features", output, description, shape)


@pytest.mark.slow
def test_files_of_all_tools_are_the_streams_of_one_model(prepare, train, tmp_path):
    streams = {}
    for number, (write, _, _) in enumerate(STREAMS.values()):
        (tmp_path / str(number)).mkdir()
        streams[f"stream{number}"] = write(tmp_path / str(number), CLIPS)
    labels = write_labels(tmp_path / "labels.csv", f"clip_id {' '.join(TRAITS)}", CLIPS)
    prepare(streams, "--labels", labels)
    train()


@pytest.mark.slow
def test_one_folder_is_two_streams_of_chosen_columns(prepare, train, tmp_path):
    folder = write_openface(tmp_path, CLIPS)
    header = "vlogId Extr Agr Cons Emot Open"
    labels = write_labels(tmp_path / "vlogs.txt", header, CLIPS, separator=" ", low=1, high=7)
    output = prepare(
        {"static": folder, "dynamic": folder},
        *("--columns", "static=AU*", "dynamic=gaze*,pose*"),
        *("--labels", labels, "--label_range", "1,7", "--num_steps", 4),
    )
    assert "Neuroticism is scored in reverse" in output
    features = load_feature_set(tmp_path / "features")
    assert {name: stream.shape[1:] for name, stream in features.streams.items()} == {
        "static": (4, 2),
        "dynamic": (4, 2),
    }
    train()


@pytest.mark.parametrize("name", LABELS)
def test_label_tables_of_other_studies_are_read(name, prepare, tmp_path):
    header, options, how, first = LABELS[name]
    table = tmp_path / ("labels.txt" if how.get("separator") == " " else "labels.csv")
    write_labels(table, header, CLIPS, **how)
    output = prepare({"face": write_embeddings(tmp_path, CLIPS)}, "--labels", table, *options)
    assert "annotations: 12 of 12 clips; 0 annotated clips have no features." in output
    features = load_feature_set(tmp_path / "features")
    low, high = how.get("low", 0), how["high"]
    assert {trait.label_range for trait in features.traits} == {(low, high)}
    assert [trait.name for trait in features.traits if trait.is_reversed] == ["neuroticism"]
    np.testing.assert_allclose(features.checked_labels()[0], first, atol=1e-6)
