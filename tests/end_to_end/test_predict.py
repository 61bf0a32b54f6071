"""`predict`: clips without labels, from a run and from MLflow, with intervals and attention."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from pipeline.core.traits import TRAITS
from tests.end_to_end.command import pipeline_here

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trained_dir(features_dir, workspace, settings):
    """A run of one epoch with 16 validation groups, whose features name their encoder."""
    source = shutil.copytree(features_dir, workspace / "described")
    describe(source, {"sampling": {"num_steps": 4}, "static": {"encoder": "hog"}})
    with pipeline_here() as run:
        finished = run(
            *("train", "--features_dir", source, "--run_dir", "described-run", *settings),
            *("--training.num_epochs", 1, "--data.validation_fraction", 0.4),
            *("--tracking.registered_model", "ocean"),
            cwd=workspace,
        )
    assert finished.status == 0, finished.err
    return workspace / "described-run"


@pytest.fixture
def clips(features_dir, tmp_path):
    """Twelve clips without labels, by the encoder of the run."""
    path = tmp_path / "clips"
    path.mkdir()
    for name in ("static", "dynamic"):
        np.save(path / f"{name}.npy", np.load(features_dir / f"{name}.npy")[:12])
    pd.read_csv(features_dir / "clips.csv").head(12).to_csv(path / "clips.csv", index=False)
    describe(path, {"sampling": {"num_steps": 4}, "static": {"encoder": "hog"}})
    return path


def describe(features_dir, encoder):
    (features_dir / "features.json").write_text(json.dumps({"encoder": encoder}))


def read(path):
    return pd.read_csv(path, dtype={"clip_id": str})


def test_clips_without_labels_are_scored_with_intervals(
    run_here, trained_dir, clips, tmp_path, caplog
):
    finished = run_here(
        *("predict", "--run_dir", trained_dir, "--features_dir", clips, "--output", "a.csv"),
        cwd=tmp_path,
    )
    assert (finished.status, finished.err, caplog.text) == (0, "", "")
    assert "width of the 90 % interval" in finished.out
    table = read(tmp_path / "a.csv")
    assert table["clip_id"].to_list() == read(clips / "clips.csv")["clip_id"].to_list()
    for trait in TRAITS:
        assert (table[f"{trait}_low"] < table[trait]).all()
        assert (table[trait] < table[f"{trait}_high"]).all()
    assert table.drop(columns="clip_id").to_numpy().min() >= 0
    assert table.drop(columns="clip_id").to_numpy().max() <= 1


def test_a_registered_model_and_its_run_score_the_same(
    run_here, trained_dir, clips, tmp_path, workspace
):
    for name, model in (
        ("run", ("--run_dir", trained_dir)),
        ("uri", ("--model_uri", "models:/ocean/1")),
    ):
        finished = run_here(
            *("predict", *model, "--features_dir", clips, "--output", tmp_path / f"{name}.csv"),
            cwd=workspace,
        )
        assert (finished.status, finished.err) == (0, "")
    assert (tmp_path / "run.csv").read_text() == (tmp_path / "uri.csv").read_text()


def test_files_are_given_one_by_one_and_clips_without_a_table_are_numbered(
    run_here, trained_dir, clips, tmp_path, caplog
):
    arguments = (
        *("predict", "--run_dir", trained_dir, "--output", "b.parquet"),
        *("--static_features", clips / "static.npy", "--dynamic_features", clips / "dynamic.npy"),
    )
    assert run_here(*arguments, cwd=tmp_path).status == 0
    assert caplog.text == ""  # features.json beside both of them names their encoder
    (clips / "features.json").unlink()
    assert run_here(*arguments, cwd=tmp_path).status == 0
    assert "the encoder of the features is unknown" in caplog.text
    assert pd.read_parquet(tmp_path / "b.parquet")["clip_id"][11] == "row-000011"


def test_the_scores_are_those_of_the_evaluation(run_here, trained_dir, workspace, tmp_path):
    evaluated = read(trained_dir / "predictions" / "validation.csv").set_index("clip_id")
    run_here(
        *("predict", "--run_dir", trained_dir, "--features_dir", workspace / "described"),
        *("--output", "all.csv"),
        cwd=tmp_path,
    )
    table = read(tmp_path / "all.csv").set_index("clip_id").loc[evaluated.index]
    np.testing.assert_allclose(table[list(TRAITS)], evaluated[list(TRAITS)], atol=1e-6)


def test_the_attention_to_every_frame_is_written_where_it_is_asked_for(
    run_here, trained_dir, clips, tmp_path
):
    finished = run_here(
        *("predict", "--run_dir", trained_dir, "--features_dir", clips),
        *("--output", "a.csv", "--explain", "attention.csv"),
        cwd=tmp_path,
    )
    assert finished.status == 0
    table = read(tmp_path / "attention.csv")
    assert list(table.columns) == ["clip_id", "trait", "stream", "step", "weight"]
    assert len(table) == 12 * 5 * (4 + 4)


def test_features_of_another_encoder_are_refused_in_one_line(
    run_here, trained_dir, clips, tmp_path
):
    describe(clips, {"sampling": {"num_steps": 4}, "static": {"encoder": "vgg16"}})
    for command in (("predict", "--output", "a.csv"), ("evaluate", "--split", "all")):
        np.save(clips / "labels.npy", np.full((12, 5), 0.5))
        finished = run_here(
            *(*command, "--run_dir", trained_dir, "--features_dir", clips), cwd=tmp_path
        )
        assert finished.status == 2
        (line,) = finished.err.splitlines()
        assert "encoder.static.encoder is 'vgg16' here and 'hog' in the model" in line
    assert not (tmp_path / "a.csv").exists()


@pytest.mark.parametrize("parts", [("hog", "vgg16"), ("vgg16", "hog")])
def test_shards_of_which_one_is_of_another_encoder_are_refused(
    run_here, trained_dir, clips, tmp_path, parts
):
    shards = tmp_path / "shards"
    table = read(clips / "clips.csv")
    for number, encoder in enumerate(parts):
        shard = shutil.copytree(clips, shards / str(number))
        describe(shard, {"sampling": {"num_steps": 4}, "static": {"encoder": encoder}})
        table.assign(clip_id=f"{number}-" + table["clip_id"]).to_csv(
            shard / "clips.csv", index=False
        )
    finished = run_here(
        *("predict", "--run_dir", trained_dir, "--features_dir", shards, "--output", "a.csv"),
        cwd=tmp_path,
    )
    assert finished.status == 2
    assert "encoder.static.encoder is" in finished.err
    assert not (tmp_path / "a.csv").exists()


def test_files_beside_the_description_of_another_encoder_are_refused(
    run_here, trained_dir, clips, tmp_path
):
    describe(clips, {"sampling": {"num_steps": 4}, "static": {"encoder": "vgg16"}})
    finished = run_here(
        *("predict", "--run_dir", trained_dir, "--output", "b.csv"),
        *("--static_features", clips / "static.npy", "--dynamic_features", clips / "dynamic.npy"),
        cwd=tmp_path,
    )
    assert finished.status == 2
    assert "encoder.static.encoder is 'vgg16' here" in finished.err


@pytest.mark.parametrize(
    "command", [("predict", "--output", "a.csv"), ("evaluate", "--split", "all")]
)
def test_a_model_of_an_unknown_encoder_scores_other_features_with_a_warning(
    run_here, trained_dir, workspace, clips, tmp_path, caplog, command
):
    silent = shutil.copytree(trained_dir, tmp_path / "silent-run")
    data = json.loads((silent / "data.json").read_text())
    (silent / "data.json").write_text(json.dumps({**data, "encoder": "unknown"}))
    (silent / "mlflow.json").unlink()
    (silent / "manifest.json").unlink()  # as of an older version, whose files are not checked
    np.save(clips / "labels.npy", np.load(workspace / "described" / "labels.npy")[:12])
    arguments = (*command, "--run_dir", silent, "--features_dir")
    assert run_here(*arguments, clips, cwd=tmp_path).status == 0
    assert "encoder of the features that the model was trained on is unknown" in caplog.text
    caplog.clear()
    assert run_here(*arguments, workspace / "described", cwd=tmp_path).status == 0
    assert caplog.text == ""  # the very features that it was trained on


def test_features_of_another_width_are_refused_in_one_line(run_here, trained_dir, clips, tmp_path):
    np.save(clips / "static.npy", np.zeros((12, 4, 9), np.float32))
    finished = run_here(
        *("predict", "--run_dir", trained_dir, "--features_dir", clips, "--output", "a.csv"),
        cwd=tmp_path,
    )
    assert finished.status == 2
    (line,) = finished.err.splitlines()
    assert "9 features instead of 8" in line
    assert "(clips, 4, 9)" in line


def test_too_few_held_out_groups_give_the_whole_range_and_a_warning(
    run_here, first, features_dir, tmp_path, caplog
):
    finished = run_here(
        *("predict", "--run_dir", first, "--features_dir", features_dir, "--output", "a.csv"),
        cwd=tmp_path,
    )
    assert finished.status == 0
    assert "9 held-out groups or more" in caplog.text
    table = read(tmp_path / "a.csv")
    assert (table["openness_low"] == 0).all()
    assert (table["openness_high"] == 1).all()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--features_dir", "x", "--output", "a.xlsx"), "use one of .csv, .npy, .parquet"),
        ((), "Give the clips in one way"),
        (("--features_dir", "x", "--videos_dir", "y"), "Give the clips in one way"),
        (("--face_dir", "x"), "--face_dir with --flow_dir"),
        (("--features_dir", "x", "--model_uri", "models:/ocean/1"), "not both"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line(
    run_here, trained_dir, tmp_path, arguments, words
):
    finished = run_here("predict", "--run_dir", trained_dir, *arguments, cwd=tmp_path)
    assert finished.status == 2
    (line,) = finished.err.splitlines()
    assert words in line


@pytest.mark.parametrize(
    ("output", "explain"),
    [
        ("o/same.csv", "o/same.csv"),
        ("clips/static.npy", "a.csv"),
        ("a.csv", "clips/clips.csv"),
        ("run/split.csv", "a.csv"),
    ],
)
def test_nothing_that_is_read_is_lost_to_what_is_written(
    run_here, trained_dir, clips, tmp_path, output, explain
):
    run_dir = shutil.copytree(trained_dir, tmp_path / "run")
    before = {path: path.read_bytes() for path in [*clips.iterdir(), run_dir / "split.csv"]}
    finished = run_here(
        *("predict", "--run_dir", "run", "--features_dir", "clips"),
        *("--output", output, "--explain", explain),
        cwd=tmp_path,
    )
    assert finished.status == 2
    (line,) = finished.err.splitlines()
    assert "Give " in line
    assert {path: path.read_bytes() for path in before} == before
    assert not (tmp_path / "a.csv").exists()
    assert not (tmp_path / "o").exists()


def test_clips_need_no_group_to_be_scored(run_here, trained_dir, clips, tmp_path):
    table = read(clips / "clips.csv")
    arguments = ("predict", "--run_dir", trained_dir, "--features_dir", clips, "--output")
    assert run_here(*arguments, "with.csv", cwd=tmp_path).status == 0
    table[["clip_id"]].to_csv(clips / "clips.csv", index=False)
    finished = run_here(*arguments, "without.csv", cwd=tmp_path)
    assert (finished.status, finished.err) == (0, "")
    assert (tmp_path / "with.csv").read_text() == (tmp_path / "without.csv").read_text()


def test_features_far_from_all_that_was_trained_on_are_scored_with_a_warning(
    run_here, trained_dir, clips, tmp_path, caplog
):
    dynamic = np.load(clips / "dynamic.npy")
    dynamic[[4, 7]] = 1e37
    np.save(clips / "dynamic.npy", dynamic)
    finished = run_here(
        *("predict", "--run_dir", trained_dir, "--features_dir", clips, "--output", "a.csv"),
        cwd=tmp_path,
    )
    assert finished.status == 0
    fourth = read(clips / "clips.csv")["clip_id"][4]
    assert f"the dynamic features of 2 clips, {fourth} the first, lie 10000" in caplog.text
    assert "the static features" not in caplog.text


def test_recordings_need_a_model_that_says_how_its_features_were_made(run_here, first, tmp_path):
    (tmp_path / "videos").mkdir()
    finished = run_here(
        *("predict", "--run_dir", first, "--videos_dir", "videos", "--output", "a.csv"),
        cwd=tmp_path,
    )
    assert finished.status == 2
    assert "do not say how they were extracted" in finished.err


def test_evaluate_tells_the_coverage_on_groups_that_are_new(run_here, trained_dir, workspace):
    finished = run_here("evaluate", "--run_dir", trained_dir, "--split", "test", cwd=workspace)
    assert finished.status == 0
    assert "90 % prediction intervals, 48 clips of 8 groups" in finished.out
    intervals = json.loads((trained_dir / "evaluation.json").read_text())["intervals"]
    assert intervals["num_groups"] == 8
    run_id = json.loads((trained_dir / "mlflow.json").read_text())["run_id"]
    client = MlflowClient(tracking_uri=f"sqlite:///{workspace / 'mlflow.db'}")
    metrics = client.get_run(run_id).data.metrics
    assert (
        metrics["evaluation/test/interval_coverage/mean"] == intervals["coverage"]["mean"]["value"]
    )
