"""Processes that miss each other, as far as one process can tell."""

import queue
import socket
import struct
import threading

import pytest

from l2d_jax import peers


@pytest.mark.parametrize("reset", [True, False])
def test_a_process_that_dies_before_it_gave_its_name_is_missed(reset, monkeypatch):
    ends, accepted = queue.Queue(), []
    monkeypatch.setattr(peers, "end", ends.put)
    monkeypatch.setattr(
        peers.atexit, "register", lambda _, found: accepted.extend(found)
    )
    listener, address = peers.listen()
    port = int(address.rpartition(":")[2])
    dying, living = (socket.create_connection(("localhost", port)) for _ in range(2))
    living.sendall(b"process 2 on h".ljust(peers.NAME_LENGTH))
    if reset:  # what is unsaid is dropped: an error at the other side
        no_waiting = struct.pack("ii", 1, 0)
        dying.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, no_waiting)
    dying.close()
    peers.miss(listener, others=2)
    try:
        assert ends.get(timeout=10) == "a process that gave no name"
        living.settimeout(10)
        assert living.recv(1024) == b"a process that gave no name"
    finally:
        living.sendall(peers.BYE)
        living.close()
        for thread in threading.enumerate():
            if thread.name.endswith("(follow)"):
                thread.join(10)
        for connection in accepted:
            connection.close()
    assert ends.empty()  # the other one said good-bye
