"""Processes that miss each other, as far as one process can tell."""

import queue
import socket
import struct
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from l2d_jax import liveness


@pytest.fixture
def accepted(monkeypatch):
    """Connections of the first process; what it would say at its end isn't said."""
    found = []
    monkeypatch.setattr(liveness.atexit, "register", lambda _, some: found.append(some))
    yield found
    join()
    for connection in found[0]:
        connection.close()


def join():
    """Waits for the threads that follow what others say."""
    for thread in threading.enumerate():
        if thread.name.endswith("(follow)"):
            thread.join(10)


@pytest.fixture
def ends(monkeypatch):
    """Names of the processes that are missed."""
    found = queue.Queue()
    monkeypatch.setattr(liveness, "exit_process", found.put)
    return found


def connect(address, said=b""):
    host, port, _ = address.split(":")
    connection = socket.create_connection((host, int(port)))
    connection.sendall(said)
    return connection


def join_as(address, name):
    """A connection that the first process welcomes."""
    token = address.rpartition(":")[2]
    return connect(address, f"{token} {name}".encode().ljust(liveness.NAME_LENGTH))


def heard(connection):
    connection.settimeout(10)
    return connection.recv(1024)


@pytest.mark.parametrize("reset", [True, False])
def test_a_process_that_dies_is_missed(reset, ends, accepted):
    listener, address = liveness.listen()
    dying, living = (join_as(address, f"process {i} on h") for i in (1, 2))
    liveness.watch_others(listener, address, others=2)
    assert heard(dying) == heard(living) == liveness.WELCOME
    if reset:  # an error at the other side
        no_waiting = struct.pack("ii", 1, 0)
        dying.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, no_waiting)
    dying.close()
    with living:
        assert ends.get(timeout=10) == "process 1 on h"
        assert heard(living) == b"process 1 on h"
        living.sendall(liveness.BYE)
    join()
    assert len(accepted[0]) == 2
    assert ends.empty()  # the other one said good-bye


def test_who_came_is_missed_where_another_does_not_come(monkeypatch, ends, accepted):
    """One host whose connection is blocked doesn't end the others."""
    monkeypatch.setattr(liveness, "SECONDS_TO_CONNECT", 0.1)
    listener, address = liveness.listen()
    with join_as(address, "process 1 on h") as came:
        with pytest.raises(TimeoutError):
            liveness.watch_others(listener, address, others=2)
        assert heard(came) == liveness.WELCOME
        came.settimeout(0.2)
        with pytest.raises(TimeoutError):  # nothing is said, and not the end either
            came.recv(1024)
        assert ends.empty()
    assert len(accepted[0]) == 1
    assert ends.get(timeout=10) == "process 1 on h"


def test_strangers_end_nobody(monkeypatch, ends, accepted):
    """One says nothing, one what isn't the token, one leaves; none is waited for."""
    monkeypatch.setattr(liveness, "SECONDS_TO_SAY", 0.1)
    listener, address = liveness.listen()
    silent, scan = connect(address), connect(address, b"GET / HTTP/1.1\r\n\r\n")
    connect(address).close()
    came = join_as(address, "process 1 on h")
    liveness.watch_others(listener, address, others=1)
    with silent, scan, came:
        assert heard(came) == liveness.WELCOME
        assert heard(silent) == b""
        came.sendall(liveness.BYE)
    join()
    assert len(accepted[0]) == 1
    assert ends.empty()


def test_strangers_that_keep_the_first_process_busy_end_nobody(monkeypatch, ends):
    """It takes none after a time; a process that it doesn't take goes on without."""
    monkeypatch.setattr(liveness, "SECONDS_TO_SAY", 0.1)
    monkeypatch.setattr(liveness, "SECONDS_TO_CONNECT", 0.1)
    monkeypatch.setattr(liveness.atexit, "register", lambda *_: None)
    listener, address = liveness.listen()
    with connect(address), ThreadPoolExecutor() as pool:
        joining = pool.submit(liveness.watch_first, address, rank=1)
        with pytest.raises(TimeoutError):
            liveness.watch_others(listener, address, others=1)
        with pytest.raises(ConnectionError):
            joining.result(10)
    join()
    assert ends.empty()
