"""The report and the figures of a search, on the artifact page of a real MLflow server."""

import contextlib
import json
import os
import subprocess
import sys
import urllib.request

import pytest

from pipeline.core.files import write_json
from pipeline.core.run_directory import RunDirectory
from pipeline.search.figures import draw_search
from tests.loopback import free_port, wait_until_it_answers
from tests.search.search_studies import synthetic_study

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def server_uri(workspace):
    port = free_port()
    settings = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "mlflow", "server", "--workers", "1"),
            *("--host", "127.0.0.1", "--port", str(port)),
            *("--backend-store-uri", f"sqlite:///{workspace / 'mlflow.db'}"),
        ],
        cwd=workspace,
        env={**os.environ, **settings},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    uri = f"http://127.0.0.1:{port}"
    try:
        wait_until_it_answers(f"{uri}/health", process)
        yield uri
    finally:
        process.terminate()
        process.wait(timeout=30)


@contextlib.contextmanager
def artifact_frame(browser, server_uri, run, path, width=1280):
    """Yield the frame in which MLflow shows an HTML artifact, and the errors of its console."""
    page = browser.new_page(viewport={"width": width, "height": 1000})
    errors = []
    page.on(
        "console",
        lambda message: (
            errors.append(message.text)
            if message.type == "error" and not message.location["url"].startswith(server_uri)
            else None
        ),
    )
    page.goto(f"{server_uri}/#/experiments/{run}/artifacts/{path}")
    page.wait_for_selector("iframe", timeout=60_000)
    frame = page.query_selector("iframe").content_frame()
    frame.wait_for_selector("h1", timeout=30_000)
    yield frame, errors
    page.close()


@pytest.mark.parametrize("width", [375, 1280])
def test_the_report_is_whole_on_the_artifact_page(width, illustrated, server_uri, browser):
    run_id = json.loads(illustrated.tracking_path.read_text())["run_id"]
    answer = urllib.request.urlopen(f"{server_uri}/api/2.0/mlflow/runs/get?run_id={run_id}")
    experiment_id = json.load(answer)["run"]["info"]["experiment_id"]
    with artifact_frame(
        browser, server_uri, f"{experiment_id}/runs/{run_id}", "report.html", width
    ) as (
        frame,
        errors,
    ):
        widths = frame.eval_on_selector_all("img", "images => images.map(i => i.naturalWidth)")
        assert len(widths) > 30
        assert all(widths)
        assert errors == []


def test_the_figures_of_a_search_are_drawn_on_the_artifact_page(server_uri, browser, tmp_path):
    from mlflow import MlflowClient

    run = RunDirectory(tmp_path)
    write_json(run.study_path, synthetic_study(12))
    figures = draw_search(run)
    client = MlflowClient(server_uri)
    experiment_id = client.create_experiment("search page")
    run_id = client.create_run(experiment_id).info.run_id
    client.log_artifact(run_id, str(figures.page_path), "search_visualizations")
    path = "search_visualizations/search.html"
    with artifact_frame(browser, server_uri, f"{experiment_id}/runs/{run_id}", path) as (
        frame,
        errors,
    ):
        frame.wait_for_selector("#search_timeline .bars", state="attached", timeout=30_000)
        assert len(frame.query_selector_all(".main-svg .bglayer")) == len(figures.gallery.drawn)
        assert errors == []
