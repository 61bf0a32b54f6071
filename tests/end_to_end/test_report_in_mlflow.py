"""The artifact page of a real MLflow server shows the report and the figures of a search."""

import contextlib
import json

import pytest
from mlflow import MlflowClient

from pipeline.core.files import write_json
from pipeline.core.run_directory import RunDirectory
from pipeline.search.figures import draw_search
from tests.search.search_studies import synthetic_study
from tests.tracking.mlflow_server import Server

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def server_uri(workspace):
    server = Server(workspace)
    server.start()
    yield server.uri
    server.kill()


@contextlib.contextmanager
def artifact_frame(browser, server_uri, run, path, width=1280):
    """Yield the frame of an HTML artifact, and check that the browser console shows no error."""
    page = browser.new_page(viewport={"width": width, "height": 1000})
    errors = []

    def add_error(message):
        if message.type == "error" and not message.location["url"].startswith(server_uri):
            errors.append(message.text)

    page.on("console", add_error)
    page.goto(f"{server_uri}/#/experiments/{run}/artifacts/{path}")
    page.wait_for_selector("iframe", timeout=60_000)
    frame = page.query_selector("iframe").content_frame()
    frame.wait_for_selector("h1", timeout=30_000)
    yield frame
    assert errors == []
    page.close()


@pytest.mark.parametrize("width", [375, 1280])
def test_the_report_shows_all_its_images(width, visualized, server_uri, browser):
    run_id = json.loads(visualized.tracking_path.read_text())["run_id"]
    experiment_id = MlflowClient(server_uri).get_run(run_id).info.experiment_id
    run = f"{experiment_id}/runs/{run_id}"
    with artifact_frame(browser, server_uri, run, "report.html", width) as frame:
        widths = frame.eval_on_selector_all("img", "images => images.map(i => i.naturalWidth)")
        assert len(widths) == len(list(visualized.path.glob("*/*.png"))) > 8
        assert all(widths)


def test_the_page_of_a_search_draws_all_its_figures(server_uri, browser, tmp_path):
    run = RunDirectory(tmp_path)
    write_json(run.study_path, synthetic_study(12))
    figures = draw_search(run)
    client = MlflowClient(server_uri)
    experiment_id = client.create_experiment("search page")
    run_id = client.create_run(experiment_id).info.run_id
    client.log_artifact(run_id, str(figures.page_path), "search_visualizations")
    path = "search_visualizations/search.html"
    with artifact_frame(browser, server_uri, f"{experiment_id}/runs/{run_id}", path) as frame:
        frame.wait_for_selector("#search_timeline .bars", state="attached", timeout=30_000)
        assert len(frame.query_selector_all(".main-svg .bglayer")) == len(figures.gallery.drawn)
