#!/usr/bin/env bash
# aiokafka 0.14.0.
#
# A task inside of each client asks which broker leads what: when somebody wants to know, and when what is known is older
# than `metadata_max_age_ms` (five minutes by default). If it was woken by age, and the topics of the client change while it
# is answered, it knows that it has to ask again, and goes back to sleep: it waits for somebody to wake it. But nobody does,
# since a future for new metadata is there already and everybody waits for that. So `assign`, `subscribe`, `end_offsets` and
# whatever else needs metadata hang until they are too old once more, for five minutes.
#
# Expected: metadata of the new topic at once. The stand-in for a broker holds its answer until the topics have changed.
#
# Output seen (seconds of metadata_max_age_ms; whether metadata of the new topic were there within one second, and in the end):
#   3  False  True
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
python3 -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet --disable-pip-version-check aiokafka==0.14.0

cat >"$room/asked.py" <<'PYTHON'
import asyncio
import logging
import struct

from aiokafka.client import AIOKafkaClient

HOST, API_VERSIONS, AGE = "127.0.0.1", 18, 3
VERSIONS = struct.pack(">hi hhh hhh", 0, 2, 3, 0, 0, API_VERSIONS, 0, 0)


async def main() -> None:
    asked, may_answer = asyncio.Queue(), asyncio.Event()
    may_answer.set()

    async def broker(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        port = writer.get_extra_info("sockname")[1]
        while True:
            request = await reader.readexactly(int.from_bytes(await reader.readexactly(4), "big"))
            api, _, number = struct.unpack_from(">hhi", request)
            answer = VERSIONS
            if api != API_VERSIONS:
                asked.put_nowait(api)
                await may_answer.wait()
                answer = struct.pack(">iih", 1, 0, len(HOST)) + HOST.encode() + struct.pack(">ii", port, 0)
            writer.write(struct.pack(">ii", len(answer) + 4, number) + answer)

    server = await asyncio.start_server(broker, HOST, 0)
    client = AIOKafkaClient(
        bootstrap_servers=f"{HOST}:{server.sockets[0].getsockname()[1]}", metadata_max_age_ms=AGE * 1000
    )
    await client.bootstrap()
    await client.set_topics(["a"])
    while not asked.empty():
        asked.get_nowait()
    may_answer.clear()
    await asked.get()  # of what is too old
    updated = client.set_topics(["b"])
    may_answer.set()
    await asyncio.wait([updated], timeout=1)
    at_once = updated.done()
    await asyncio.wait([updated], timeout=2 * AGE)
    print(AGE, at_once, updated.done(), sep="  ")
    await client.close()


logging.disable(logging.CRITICAL)
asyncio.run(main())
PYTHON
"$room/venv/bin/python" "$room/asked.py" 2>/dev/null >"$room/seen"
cat "$room/seen"
diff <(sed -n 's/^#   //p' "$0") "$room/seen" && echo 'as stated'
