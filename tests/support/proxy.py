"""A TCP proxy that breaks a connection at a chosen byte: before or after a pattern, or after so many bytes."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

Action = Literal["drop request", "drop answer", "reset", "cut"]


@dataclass(frozen=True)
class Fault:
    """What happens to the first connection that sends `pattern` (or, without one, more than `limit` bytes).

    drop request: the pattern is never sent on; drop answer: it is, and the server's answer to it is swallowed; reset:
    as drop request, but with RST instead of FIN; cut: the first connection that gets more than `limit` bytes from the
    server gets that many and no more.
    """

    action: Action
    pattern: bytes = b""
    limit: int = 0


@dataclass
class Proxy:
    """Listens on loopback and forwards to `port`; `fault` is armed by the test and strikes once."""

    port: int
    listener: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))
    fault: Fault | None = None
    struck: threading.Event = field(default_factory=threading.Event)
    sent: list[int] = field(default_factory=list)
    """Bytes that each connection sent to the server, oldest first."""
    got: list[int] = field(default_factory=list)
    """Bytes that each got from it."""
    cut_at: int = 0
    _open: list[socket.socket] = field(default_factory=list)

    def through(self, url: str) -> str:
        """The URL, led through this proxy."""
        parts = urlsplit(url)
        port = self.listener.getsockname()[1]
        return parts._replace(netloc=f"{parts.username}:{parts.password}@127.0.0.1:{port}").geturl()

    def arm(self, fault: Fault) -> None:
        self.struck.clear()
        self.fault = fault

    def serve(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self.port))
            except OSError:
                client.close()
                continue
            self._open += [client, server]
            self.sent.append(0)
            self.got.append(0)
            link = _Link(self, client, server, len(self.sent) - 1)
            for target in (link.forward, link.back):
                threading.Thread(target=target, daemon=True).start()

    def refuse(self) -> None:
        """New connections are refused from now on; the open ones stay."""
        # A blocked accept() is not woken by close() alone.
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def close(self) -> None:
        self.refuse()
        for end in self._open:
            _close(end)


@dataclass
class _Link:
    proxy: Proxy
    client: socket.socket
    server: socket.socket
    number: int
    mute: threading.Event = field(default_factory=threading.Event)
    answered: threading.Event = field(default_factory=threading.Event)

    def forward(self) -> None:
        """Client to server."""
        with suppress(OSError):
            while data := self.client.recv(65536):
                fault = self._due(data)
                if fault:
                    self._strike(fault, data)
                    return
                self.server.sendall(data)
                self.proxy.sent[self.number] += len(data)
        _close(self.server)

    def back(self) -> None:
        """Server to client."""
        with suppress(OSError):
            while data := self.server.recv(65536):
                if self.mute.is_set():
                    self.answered.set()
                elif self._is_cut(len(data)):
                    self.client.sendall(data[: self.proxy.cut_at - self.proxy.got[self.number]])
                    self.proxy.struck.set()
                    _close(self.client)
                    _close(self.server)
                    return
                else:
                    self.client.sendall(data)
                    self.proxy.got[self.number] += len(data)
        if not self.mute.is_set():
            _close(self.client)

    def _is_cut(self, more: int) -> bool:
        fault = self.proxy.fault
        if fault is None or fault.action != "cut" or self.proxy.got[self.number] + more <= fault.limit:
            return False
        self.proxy.fault, self.proxy.cut_at = None, fault.limit
        return True

    def _due(self, data: bytes) -> Fault | None:
        fault = self.proxy.fault
        if fault is None or fault.action == "cut":
            return None
        sent = self.proxy.sent[self.number]
        due = fault.pattern in data if fault.pattern else sent + len(data) > fault.limit
        if not due:
            return None
        self.proxy.fault = None
        return fault

    def _strike(self, fault: Fault, data: bytes) -> None:
        self.mute.set()
        if fault.action == "drop answer":
            self.server.sendall(data)
            assert self.answered.wait(30), "the server gave no answer to swallow"
        elif fault.limit:
            self.server.sendall(data[: max(0, fault.limit - self.proxy.sent[self.number])])
        self.proxy.struck.set()
        if fault.action == "reset":
            self.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.client.close()
        _close(self.client)
        _close(self.server)


def _close(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()


@contextmanager
def proxied(url: str) -> Iterator[Proxy]:
    """A running proxy before the server of `url`."""
    proxy = Proxy(int(urlsplit(url).port or 5432))
    thread = threading.Thread(target=proxy.serve, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.close()
        thread.join(10)
