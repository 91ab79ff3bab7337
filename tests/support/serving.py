"""A local HTTP server that answers as a double says."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Serving:
    """On a free port of this machine, until it is stopped."""

    def serve(self, handler: type[BaseHTTPRequestHandler]) -> None:
        """Starts it; the handler finds its double as `double`."""
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (handler,), {"double": self}))
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        """Nobody is answered any more."""
        self.server.shutdown()
        self.server.server_close()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server.server_port}"
