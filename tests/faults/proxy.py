"""A TCP proxy between the clients and the broker that can cut, stall and delay.

Runs in a thread of its own; its methods may be called from any other. The
broker advertises the proxy's address, so that nothing goes around it.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading

CHUNK = 64 * 1024


class Proxy:
    def __init__(self, target_port: int):
        self.target_port = target_port
        self.stalled = False
        self.delay_s = 0.0
        self.connections: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        #: What was really done.
        self.cut_count = self.held_chunks = self.delayed_chunks = self.forwarded_bytes = 0
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)
        self._thread.start()
        if not self._started.wait(10):
            raise RuntimeError("the proxy did not start")

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def cut(self, chance, share: float) -> int:
        """Resets a share of all connections, chosen by `chance`; how many."""
        return self._call(self._cut(chance, share))

    def stall(self, on: bool):
        """While on, connections stay open and nothing passes."""
        self._call(self._set("stalled", on))

    def delay(self, seconds: float):
        """Every chunk waits this long in each direction."""
        self._call(self._set("delay_s", seconds))

    def heal(self):
        self.stall(False)
        self.delay(0.0)

    def close(self):
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(10)

    def _call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(30)

    async def _set(self, name, value):
        setattr(self, name, value)
        self._changed.set()

    async def _cut(self, chance, share: float) -> int:
        pairs = sorted(self.connections, key=id)
        chosen = [pair for pair in pairs if chance.random() < share] or pairs[:1]
        for pair in chosen:
            for writer in pair:
                reset(writer)
        self.cut_count += len(chosen)
        return len(chosen)

    def _run(self):
        asyncio.run(self._serve())

    async def _serve(self):
        self._loop = asyncio.get_running_loop()
        self._stopping, self._changed = asyncio.Event(), asyncio.Event()
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._started.set()
        await self._stopping.wait()
        server.close()
        for pair in list(self.connections):
            for writer in pair:
                reset(writer)

    async def _accept(self, reader, writer):
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.target_port)
        except OSError:
            # The broker is down: the client is told the same way.
            reset(writer)
            return
        pair = (writer, up_writer)
        self.connections.add(pair)
        pumps = [asyncio.create_task(self._pump(reader, up_writer)), asyncio.create_task(self._pump(up_reader, writer))]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.connections.discard(pair)
            for pump in pumps:
                pump.cancel()
            for each in pair:
                each.close()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def _pump(self, reader, writer):
        with contextlib.suppress(OSError):
            while chunk := await reader.read(CHUNK):
                if self.delay_s:
                    self.delayed_chunks += 1
                    await asyncio.sleep(self.delay_s)
                if self.stalled:
                    self.held_chunks += 1
                while self.stalled:
                    self._changed.clear()
                    await self._changed.wait()
                writer.write(chunk)
                await writer.drain()
                self.forwarded_bytes += len(chunk)


def reset(writer: asyncio.StreamWriter):
    """Ends a connection at once, with RST and without what is still queued."""
    with contextlib.suppress(OSError, AttributeError):
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with contextlib.suppress(Exception):
        writer.transport.abort()
