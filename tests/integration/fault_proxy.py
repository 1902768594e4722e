"""A TCP proxy that does to a connection what networks do: delay, stall, throttle, cut,
reset, go silent half-way (half-open), flip bits. Everything follows from a seed, except
what the operating system does with time.

    with FaultProxy(("127.0.0.1", 7700), Faults(reset=0.01), seed=1) as proxy:
        connect to proxy.port
"""

import random
import selectors
import socket
import struct
import threading
import time


class Faults:
    """Rates are per chunk of up to 4 KiB that passes; seconds and bytes otherwise."""

    def __init__(self, delay=(0.0, 0.0), stall=0.0, stall_s=0.5, reset=0.0, close=0.0,
                 silent=0.0, flip=0.0, rate=0, spare_bytes=0):
        self.delay = delay          # uniform between the two, per chunk
        self.stall = stall          # this connection passes nothing for stall_s
        self.stall_s = stall_s
        self.reset = reset          # RST to both sides
        self.close = close          # orderly close, in the middle of whatever it was
        self.silent = silent        # half-open: stays connected, nothing passes any more
        self.flip = flip            # one bit of the chunk is flipped
        self.rate = rate            # bytes per second, 0 = unlimited
        self.spare_bytes = spare_bytes  # a connection's first bytes are spared


class _Pipe:
    """One direction of a connection: bytes waiting, each with the time it may leave."""

    def __init__(self, source, sink):
        self.source, self.sink = source, sink
        self.waiting = []
        self.free_at = 0.0
        self.size = 0
        self.ended = False  # the source has closed; what waits still leaves


class _Connection:
    def __init__(self, inner, outer):
        self.sockets = (inner, outer)
        self.pipes = {inner: _Pipe(inner, outer), outer: _Pipe(outer, inner)}
        self.passed = 0
        self.silent = False
        self.closed = False


class FaultProxy:
    CHUNK = 4096
    HELD_MAX = 1 << 20

    def __init__(self, target, faults, seed):
        self.target, self.faults = target, faults
        self.random = random.Random(seed)
        self.counts = {"connections": 0, "chunks": 0, "stalls": 0, "resets": 0,
                       "closes": 0, "silences": 0, "flips": 0, "bytes": 0, "bytes_up": 0}
        self.cut = False            # True: nothing passes, new connections are refused
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self._listener.getsockname()[1]
        self._connections = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()
        for connection in list(self._connections):
            self._end(connection)
        self._listener.close()

    def drop_all(self, reset=True):
        """Cuts every connection that is open now."""
        for connection in list(self._connections):
            self._end(connection, reset)

    # ----------------------------------------------------------------------------------
    def _accept(self):
        try:
            inner, _ = self._listener.accept()
        except OSError:
            return
        if self.cut:
            inner.close()
            return
        try:
            outer = socket.create_connection(self.target, timeout=2)
        except OSError:
            inner.close()
            return
        for one in (inner, outer):
            one.setblocking(False)
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.counts["connections"] += 1
        self._connections.append(_Connection(inner, outer))

    def _end(self, connection, reset=False):
        if connection.closed:
            return
        connection.closed = True
        for one in connection.sockets:
            if reset:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            one.close()
        if connection in self._connections:
            self._connections.remove(connection)

    def _read(self, connection, pipe, now):
        try:
            data = pipe.source.recv(self.CHUNK)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError:
            data = b""
        if not data:
            pipe.ended = True
            return None
        faults, draw = self.faults, self.random.random
        self.counts["chunks"] += 1
        self.counts["bytes"] += len(data)
        if pipe.source is connection.sockets[0]:
            self.counts["bytes_up"] += len(data)
        connection.passed += len(data)
        ready = max(now + self.random.uniform(*faults.delay), pipe.free_at)
        if connection.passed > faults.spare_bytes:
            if draw() < faults.reset:
                self.counts["resets"] += 1
                return self._end(connection, reset=True)
            if draw() < faults.close:
                self.counts["closes"] += 1
                return self._end(connection)
            if draw() < faults.silent:
                self.counts["silences"] += 1
                connection.silent = True
            if draw() < faults.stall:
                self.counts["stalls"] += 1
                ready += faults.stall_s
            if draw() < faults.flip:
                self.counts["flips"] += 1
                position = self.random.randrange(len(data) * 8)
                data = bytearray(data)
                data[position // 8] ^= 1 << (position % 8)
        if faults.rate:
            ready += len(data) / faults.rate
        pipe.free_at = ready
        if not connection.silent:
            pipe.waiting.append((ready, bytes(data)))
            pipe.size += len(data)
        return None

    def _write(self, connection, pipe, now):
        while pipe.waiting and pipe.waiting[0][0] <= now:
            ready, data = pipe.waiting[0]
            try:
                sent = pipe.sink.send(data)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:  # nobody hears this direction; the other may still speak
                pipe.waiting.clear()
                pipe.size, pipe.ended = 0, True
                break
            pipe.size -= sent
            if sent < len(data):
                pipe.waiting[0] = (ready, data[sent:])
                return
            pipe.waiting.pop(0)
        pipes = connection.pipes.values()
        if any(p.ended for p in pipes) and not any(p.waiting for p in pipes):
            self._end(connection)

    def _run(self):
        while not self._stop.is_set():
            with selectors.DefaultSelector() as selector:
                selector.register(self._listener, selectors.EVENT_READ, None)
                for connection in self._connections:
                    for source, pipe in connection.pipes.items():
                        if pipe.size < self.HELD_MAX and not (self.cut or pipe.ended):
                            selector.register(source, selectors.EVENT_READ, connection)
                held = any(p.waiting for c in self._connections for p in c.pipes.values())
                ready = selector.select(0.002 if held else 0.02)
            now = time.monotonic()
            for key, _ in ready:
                if key.data is None:
                    self._accept()
                elif not key.data.closed:
                    self._read(key.data, key.data.pipes[key.fileobj], now)
            if self.cut:
                continue
            for connection in list(self._connections):
                for pipe in connection.pipes.values():
                    if not connection.closed:
                        self._write(connection, pipe, now)
