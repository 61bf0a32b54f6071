"""A real `mlflow server`."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.loopback import free_port, wait_for_server


class Server:
    """A real `mlflow server` on this machine, which can be killed and started again."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._port = free_port()
        self.uri = f"http://127.0.0.1:{self._port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [
            *(sys.executable, "-m", "mlflow", "server", "--workers", "1"),
            *("--host", "127.0.0.1", "--port", str(self._port)),
            *("--backend-store-uri", f"sqlite:///{self._directory / 'mlflow.db'}"),
            *("--artifacts-destination", str(self._directory / "artifacts")),
        ]
        self._process = subprocess.Popen(
            command,
            cwd=self._directory,
            env={
                **os.environ,
                "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
                "MLFLOW_DISABLE_TELEMETRY": "true",
            },
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # `signal` also reaches the worker processes of the server
        )
        wait_for_server(f"{self.uri}/health", self._process)

    def signal(self, number: int) -> None:
        assert self._process is not None
        os.killpg(self._process.pid, number)

    def kill(self) -> None:
        if self._process is not None:
            self.signal(signal.SIGKILL)
            self._process.wait()
            self._process = None
