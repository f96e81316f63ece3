"""Processes that miss each other, as far as one process can tell."""

import queue
import socket
import struct
import threading

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


def connect(address):
    return socket.create_connection(("localhost", int(address.rpartition(":")[2])))


@pytest.mark.parametrize("reset", [True, False])
def test_a_process_that_dies_before_it_gave_its_name_is_missed(reset, ends, accepted):
    listener, address = liveness.listen()
    dying, living = connect(address), connect(address)
    living.sendall(b"process 2 on h".ljust(liveness.NAME_LENGTH))
    if reset:  # what is unsaid is dropped: an error at the other side
        no_waiting = struct.pack("ii", 1, 0)
        dying.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, no_waiting)
    dying.close()
    liveness.watch_others(listener, others=2)
    with living:
        assert ends.get(timeout=10) == "a process that gave no name"
        living.settimeout(10)
        assert living.recv(1024) == b"a process that gave no name"
        living.sendall(liveness.BYE)
    join()
    assert len(accepted[0]) == 2
    assert ends.empty()  # the other one said good-bye


def test_who_came_is_missed_where_another_does_not_come(monkeypatch, ends, accepted):
    """One host whose connection is blocked doesn't end the others."""
    monkeypatch.setattr(liveness, "SECONDS_TO_CONNECT", 0.1)
    listener, address = liveness.listen()
    with connect(address) as came:
        came.sendall(b"process 1 on h".ljust(liveness.NAME_LENGTH))
        with pytest.raises(TimeoutError):
            liveness.watch_others(listener, others=2)
        came.settimeout(0.2)
        with pytest.raises(TimeoutError):  # nothing is said, and not the end either
            came.recv(1024)
        assert ends.empty()
    assert len(accepted[0]) == 1
    assert ends.get(timeout=10) == "process 1 on h"
