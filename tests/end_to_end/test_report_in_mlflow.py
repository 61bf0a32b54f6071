"""The report as a reader opens it: on the artifact page of a real MLflow server."""

import json
import os
import subprocess
import sys
import urllib.request

import pytest

from tests.loopback import free_port, wait_until_it_answers

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


@pytest.mark.parametrize("width", [375, 1280])
def test_the_report_is_whole_on_the_artifact_page(width, illustrated, server_uri, browser):
    run_id = json.loads(illustrated.tracking_path.read_text())["run_id"]
    answer = urllib.request.urlopen(f"{server_uri}/api/2.0/mlflow/runs/get?run_id={run_id}")
    experiment_id = json.load(answer)["run"]["info"]["experiment_id"]
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
    page.goto(f"{server_uri}/#/experiments/{experiment_id}/runs/{run_id}/artifacts/report.html")
    page.wait_for_selector("iframe", timeout=60_000)
    frame = page.query_selector("iframe").content_frame()
    frame.wait_for_selector("h1", timeout=30_000)
    widths = frame.eval_on_selector_all("img", "images => images.map(i => i.naturalWidth)")
    assert len(widths) > 30
    assert all(widths)
    assert errors == []
    page.close()
