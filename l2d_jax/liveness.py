"""Several processes notice when one of them dies, within a second or so.

Each keeps a connection to the first one, over which nothing is said but names and a
good-bye. The connections of a process that dies are closed by its system; those to a
machine that has vanished are found dead by probes, within half a minute. The first one
tells the others. All end with an error that names the one they miss.

Who isn't of the run, as a scan of ports, can at worst keep the processes from
connecting, while they start: they go on without.
"""

import atexit
import os
import secrets
import socket
import sys
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import NoReturn

from l2d_jax import preemption

WELCOME = b"welcome"
BYE = b"bye"
NAME_LENGTH = 256  # bytes, in which a process says the token and its name
SECONDS_TO_CONNECT = 20.0
SECONDS_TO_SAY = 5.0  # the token


def listen() -> tuple[socket.socket, str]:
    """What the first process listens on, and its address, as HOST:PORT:TOKEN.

    The token is only known to processes of the run.
    """
    host = own_address()
    listener = socket.create_server((host, 0))
    return listener, f"{host}:{listener.getsockname()[1]}:{secrets.token_hex(8)}"


def own_address() -> str:
    """Of this machine, on the network that leads to others."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("10.255.255.255", 1))  # sends nothing
            return probe.getsockname()[0]
        except OSError:
            return "127.0.0.1"


def watch_first(address: str, *, rank: int) -> None:
    """In the others: keeps a connection to the first, and ends when that is told to.

    Raises:
      OSError: the first process can't be reached.
    """
    host, port, token = address.split(":")
    first = socket.create_connection((host, int(port)), SECONDS_TO_CONNECT)
    first.settimeout(None)
    enable_keepalive(first)
    mine = f"{token} process {rank} on {socket.gethostname()}"
    first.sendall(mine.encode().ljust(NAME_LENGTH))
    if receive(first, len(WELCOME)) != WELCOME:
        first.close()
        raise ConnectionError("closed by the other side")

    def follow():
        said = receive(first)
        if said != BYE:
            exit_process(said.decode() or f"process 0 on {host}")

    atexit.register(say_goodbye, [first])
    threading.Thread(target=follow, daemon=True).start()


def watch_others(listener: socket.socket, address: str, *, others: int) -> None:
    """In the first process: waits for the connections of the others, and looks on.

    Raises:
      OSError: one doesn't come in time.
    """

    def follow(connection, name):
        if receive(connection) != BYE:
            for other in connections:
                send(other, name)
            exit_process(name.decode())

    token = address.rpartition(":")[2].encode()
    deadline = time.monotonic() + SECONDS_TO_CONNECT
    connections: dict[socket.socket, bytes] = {}
    atexit.register(say_goodbye, connections)
    try:
        while len(connections) < others:
            if (left := deadline - time.monotonic()) <= 0:
                raise TimeoutError("timed out")
            listener.settimeout(left)
            connection = listener.accept()[0]
            connection.settimeout(SECONDS_TO_SAY)
            said, _, name = receive(connection, NAME_LENGTH).strip().partition(b" ")
            if said != token:  # a stranger
                connection.close()
                continue
            connection.settimeout(None)
            enable_keepalive(connection)
            send(connection, WELCOME)
            connections[connection] = name
    finally:  # those who came are missed, though another didn't come
        listener.close()
        for one in connections.items():
            threading.Thread(target=follow, args=one, daemon=True).start()


def receive(connection: socket.socket, length: int = 1024) -> bytes:
    """What is said next; nothing if the connection ends, or nothing comes in time."""
    try:
        return connection.recv(length)
    except OSError:
        return b""


def send(connection: socket.socket, said: bytes) -> None:
    """Says it, if there still is somebody."""
    with suppress(OSError):
        connection.sendall(said)


def say_goodbye(connections: Iterable[socket.socket]) -> None:
    """Says good-bye; but an error that nobody caught is an end before its time."""
    for connection in connections:
        if not hasattr(sys, "last_value"):
            send(connection, BYE)
        with suppress(OSError):
            connection.shutdown(socket.SHUT_WR)


def exit_process(name: str) -> NoReturn:
    """Ends this process though its main thread waits for the one that is missed."""
    if preemption.requested():  # of that one too, which was quicker
        print(preemption.line("nothing was unsaved"), file=sys.stderr, flush=True)
        os._exit(preemption.status())
    print(
        f"error: {name} has ended before its time; what it said last tells why. Start "
        "all processes again: they go on from the last checkpoint",
        file=sys.stderr,
        flush=True,
    )
    os._exit(1)


def enable_keepalive(connection: socket.socket) -> None:
    """Probes after 10 s of silence, every 5 s; four without an answer end it."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        ("TCP_KEEPIDLE", 10),
        ("TCP_KEEPINTVL", 5),
        ("TCP_KEEPCNT", 4),
    ):
        if hasattr(socket, option):  # not everywhere
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
