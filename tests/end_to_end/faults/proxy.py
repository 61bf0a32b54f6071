"""An HTTP proxy in front of an MLflow server that simulates a broken network or server."""

import contextlib
import http.client
import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal

Answer = Literal["forwarded", "status 500", "cut", "reply lost", "no answer", "slow"]
Decide = Callable[[int, str], Answer]
"""Function from the number of a request (from 1) and its path to an answer."""

_HANG_SECONDS = 600.0
_OF_ONE_HOP = ("host", "connection", "accept-encoding", "transfer-encoding", "content-length")
SLOW_SECONDS = 5.0


class FaultyProxy:
    """A proxy that forwards a request or injects the fault that `decide` returns."""

    def __init__(self, upstream_port: int) -> None:
        self.decide: Decide = lambda number, path: "forwarded"
        self.num_requests = 0
        self.num_faults = 0
        self._upstream_port = upstream_port
        self._lock = threading.Lock()
        self._over = threading.Event()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _handle(self) -> None:
                proxy._handle(self)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _handle  # noqa: N815

            def log_message(self, *arguments: object) -> None:
                del arguments

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *arguments: object) -> None:
                del arguments  # the client has closed the connection

        self._server = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.uri = f"http://127.0.0.1:{self._server.server_address[1]}"

    def heal(self) -> None:
        """Stop injecting faults."""
        self.decide = lambda number, path: "forwarded"

    def close(self) -> None:
        """Stop the proxy."""
        self._over.set()
        self._server.shutdown()
        self._server.server_close()

    def _handle(self, request: BaseHTTPRequestHandler) -> None:
        body = _read_body(request)
        with self._lock:
            self.num_requests += 1
            answer = self.decide(self.num_requests, request.path)
            self.num_faults += answer != "forwarded"
        if answer == "slow":
            self._over.wait(SLOW_SECONDS)
        if answer == "no answer":
            self._over.wait(_HANG_SECONDS)
        if answer in ("cut", "no answer"):
            _cut(request)
            return
        if answer == "status 500":
            _reply(request, 500, b"<html>Internal Server Error</html>", "text/html")
            return
        try:
            status, content, kind = self._forward(request, body)
        except OSError:
            _cut(request)
            return
        if answer == "reply lost":
            _cut(request)
        else:
            _reply(request, status, content, kind)

    def _forward(self, request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, bytes, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self._upstream_port, timeout=120)
        headers = {
            name: value
            for name, value in request.headers.items()
            if name.lower() not in _OF_ONE_HOP
        }
        with contextlib.closing(connection):
            connection.request(request.command, request.path, body, headers)
            response = connection.getresponse()
            kind = response.getheader("Content-Type", "application/json")
            return response.status, response.read(), kind


def _read_body(request: BaseHTTPRequestHandler) -> bytes:
    if request.headers.get("Transfer-Encoding") != "chunked":
        return request.rfile.read(int(request.headers.get("Content-Length") or 0))
    body = b""
    while size := int(request.rfile.readline(), 16):
        body += request.rfile.read(size)
        request.rfile.readline()
    request.rfile.readline()
    return body


def _reply(request: BaseHTTPRequestHandler, status: int, content: bytes, kind: str) -> None:
    request.send_response(status)
    request.send_header("Content-Type", kind)
    request.send_header("Content-Length", str(len(content)))
    request.end_headers()
    request.wfile.write(content)


def _cut(request: BaseHTTPRequestHandler) -> None:
    request.close_connection = True
    with contextlib.suppress(OSError):
        request.connection.shutdown(socket.SHUT_RDWR)


def wait_for_port(port: int, seconds: float = 60.0) -> None:
    """Wait until a server accepts connections on a port."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert time.monotonic() < deadline, "the server does not listen"
            time.sleep(0.05)
        else:
            return
