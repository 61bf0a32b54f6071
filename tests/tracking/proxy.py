"""A proxy on the loopback that loses the replies of the server behind it."""

import contextlib
import socket
import threading
import urllib.parse


class Proxy:
    """Forwards every request; `mode` decides what becomes of the replies.

    `pass` forwards them, `cut` closes the connection instead, `hang` sends nothing.
    """

    def __init__(self, server_uri: str) -> None:
        address = urllib.parse.urlsplit(server_uri)
        self._server = (address.hostname, address.port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.uri = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.mode = "pass"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._server)
                for pump, ends in ((self._ask, (client, server)), (self._reply, (server, client))):
                    threading.Thread(target=pump, args=ends, daemon=True).start()

    def _ask(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError), server:
            while chunk := client.recv(65536):
                server.sendall(chunk)

    def _reply(self, server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client:
            while chunk := server.recv(65536):
                if self.mode == "cut":
                    client.shutdown(socket.SHUT_RDWR)
                    return
                if self.mode == "pass":
                    client.sendall(chunk)
