#!/usr/bin/env bash
# aiokafka 0.14.0 with uvloop 0.23.0.
#
# A task inside of each client asks which broker leads what. When a connection is reset, asyncio's transport drops what is
# written to it until its end is noticed. uvloop's raises RuntimeError, which that task does not expect: it ends, for ever,
# and nothing is logged. From then on whatever waits for metadata waits for ever: a consumer that has met a broker's
# restart reads nothing, `end_offsets` and `beginning_offsets` end by their time-out, again and again. The moment is short,
# and comes when another connection to the same broker is reset a little earlier. aio-libs/aiokafka issue 1038 has the
# RuntimeError, of a commit; there it is an error that is seen.
#
# Expected: an update of the metadata after the connection was reset. The stand-in for a broker answers ApiVersions and
# Metadata; it resets its connections, and a few turns of the loop later new metadata are asked for.
#
# Output seen (the loop, whether the task lives after resets, and what ended it):
#   asyncio  True  None
#   uvloop  False  RuntimeError
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
python3 -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet --disable-pip-version-check aiokafka==0.14.0 uvloop==0.23.0

cat >"$room/reset.py" <<'PYTHON'
import asyncio
import logging
import socket
import struct

import uvloop
from aiokafka.client import AIOKafkaClient

HOST, API_VERSIONS = "127.0.0.1", 18
VERSIONS = struct.pack(">hi hhh hhh", 0, 2, 3, 0, 0, API_VERSIONS, 0, 0)
writers = []


def metadata(port: int) -> bytes:
    return struct.pack(">iih", 1, 0, len(HOST)) + HOST.encode() + struct.pack(">ii", port, 0)


async def broker(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writers.append(writer)
    port = writer.get_extra_info("sockname")[1]
    try:
        while True:
            request = await reader.readexactly(int.from_bytes(await reader.readexactly(4), "big"))
            api, _, number = struct.unpack_from(">hhi", request)
            answer = VERSIONS if api == API_VERSIONS else metadata(port)
            writer.write(struct.pack(">ii", len(answer) + 4, number) + answer)
    except (asyncio.IncompleteReadError, ConnectionError):
        pass


def reset() -> None:
    while writers:
        writer = writers.pop()
        if not writer.is_closing():
            option = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, option)
            writer.transport.abort()


async def ended_by() -> str | None:
    server = await asyncio.start_server(broker, HOST, 0)
    client = AIOKafkaClient(bootstrap_servers=f"{HOST}:{server.sockets[0].getsockname()[1]}")
    await client.bootstrap()
    for turns in range(20):
        await client.force_metadata_update()
        reset()
        for _ in range(turns):
            await asyncio.sleep(0)
        update = client.force_metadata_update()
        await asyncio.wait([client._sync_task, update], return_when=asyncio.FIRST_COMPLETED)
        if client._sync_task.done():
            return type(client._sync_task.exception()).__name__
    await client.close()
    return None


logging.disable(logging.CRITICAL)
for name, factory in (("asyncio", asyncio.new_event_loop), ("uvloop", uvloop.new_event_loop)):
    loop = factory()
    error = loop.run_until_complete(ended_by())
    print(name, error is None, error, sep="  ")
PYTHON
"$room/venv/bin/python" "$room/reset.py" 2>/dev/null >"$room/seen"
cat "$room/seen"
diff <(sed -n 's/^#   //p' "$0") "$room/seen" && echo 'as stated'
