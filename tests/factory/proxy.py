"""A TCP proxy on 127.0.0.1 that delays, drips, swallows and cuts what passes between clients and a server."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, Any, Self

from jobs.services.port import free_port

if TYPE_CHECKING:
    from collections.abc import Coroutine

CHUNK_BYTES = 65_536
WAIT_S = 10


class Proxy:
    """Passes bytes on, badly where it is told to; a context, whose methods any thread may call."""

    def __init__(self, upstream_port: int | None = None, port: int | None = None) -> None:
        """Prepare.

        Args:
            upstream_port: of the server; may be set later, before the first client comes.
            port: where clients come to; default a free one.
        """
        self.port = port or free_port()
        self.upstream_port = upstream_port
        self.delay_s = 0.0
        """What every chunk waits, in both directions."""
        self.drip_s = 0.0
        """Between two bytes, where it is above 0."""
        self._loop = asyncio.new_event_loop()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._clients: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._do(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(WAIT_S)
        self._loop.close()

    def swallow(self) -> None:
        """Let nothing pass; connections stay, and what is on its way comes late."""
        self._loop.call_soon_threadsafe(self._flowing.clear)

    def cut(self) -> None:
        """Close every connection; new ones are taken."""
        self._do(self._cut())

    def heal(self) -> None:
        """Pass on everything at once again, what was swallowed first."""
        self.delay_s = self.drip_s = 0.0
        self._loop.call_soon_threadsafe(self._flowing.set)

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(WAIT_S)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._take, "127.0.0.1", self.port)

    async def _end(self) -> None:
        assert self._server is not None
        self._server.close()
        await self._cut()

    async def _cut(self) -> None:
        clients = list(self._clients)
        for client in clients:
            client.cancel()
        await asyncio.gather(*clients, return_exceptions=True)

    def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = self._loop.create_task(self._serve(reader, writer))
        self._clients.add(client)
        client.add_done_callback(self._clients.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_writer = None
        try:
            await self._flowing.wait()
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.upstream_port)
            ways = [self._pump(reader, up_writer), self._pump(up_reader, writer)]
            pumps = [self._loop.create_task(way) for way in ways]
            try:
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for pump in pumps:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)
        except OSError:
            pass  # the server is away: the client sees its connection closed
        finally:
            for one in (writer, up_writer):
                if one is not None:
                    one.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK_BYTES):
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                await self._flowing.wait()
                await self._pass(data, writer)

    async def _pass(self, data: bytes, writer: asyncio.StreamWriter) -> None:
        while self.drip_s and data:
            writer.write(data[:1])
            data = data[1:]
            await asyncio.sleep(self.drip_s)
        writer.write(data)
        await writer.drain()
