import os
import subprocess
import sys

import mlflow
import pytest

from pipeline.tracking.mlflow_settings import configure_mlflow, tracking_uri

WITHOUT_MLFLOW = """
import sys
from pipeline.tracking.mlflow_settings import configure_mlflow, tracking_uri

configure_mlflow()
print(tracking_uri())
assert "mlflow" not in sys.modules
"""


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        (None, "sqlite:///{}/mlflow.db"),
        ("sqlite:///team/mlflow.db", "sqlite:///{}/team/mlflow.db"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("postgresql://host/mlflow", "postgresql://host/mlflow"),
    ],
)
def test_the_tracking_uri_is_the_setting_with_an_absolute_path(
    setting, expected, tmp_path, monkeypatch
):
    if setting:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", setting)
    assert tracking_uri() == expected.format(tmp_path)
    mlflow.set_tracking_uri("http://127.0.0.1:1234")
    assert tracking_uri() == "http://127.0.0.1:1234"


@pytest.mark.parametrize("setting", ["", "sqlite:///team/mlflow.db", "http://me@host:5000"])
def test_the_tracking_uri_is_the_same_if_mlflow_is_not_imported(
    setting, tmp_path, monkeypatch, repository
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", setting)
    printed = subprocess.run(
        [sys.executable, "-c", WITHOUT_MLFLOW],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(repository)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=60,
    )
    assert printed.stdout.strip() == tracking_uri()


def test_calls_fail_fast_unless_the_user_sets_another_limit(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "77")
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", raising=False)
    configure_mlflow()
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "77"
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "0"
