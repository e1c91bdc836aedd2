"""The permissions that a process needs, and which of them Kafka does not give: checked before anything is done."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from itertools import groupby
from operator import itemgetter
from typing import Any, Literal, NamedTuple

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError, for_code
from aiokafka.protocol.transaction import InitProducerIdRequest

from npsflow.agents.kafka import clients
from npsflow.agents.kafka.diagnosis import ALLOW, STEP, NotSetUp, Refused
from npsflow.schemas import topics
from npsflow.streams.config.settings import Settings
from npsflow.streams.engine.installation import Installation
from npsflow.streams.engine.kafka.protocol import DescribeGroup, DescribeTopics
from npsflow.streams.topology import OUTPUT_IDS, REPLAYED, STAGES, wanted_changelogs

Resource = Literal["topic", "group", "transactional id"]
Operation = Literal["READ", "WRITE", "CREATE", "DELETE", "DESCRIBE"]

_BITS = {"READ": 3, "WRITE": 4, "CREATE": 5, "DELETE": 6, "DESCRIBE": 8}
_UNKNOWN_TOPIC, _NO_TOPIC, _NO_GROUP, _NO_ID = 3, 29, 30, 53
_BUSY = (14, 15, 16, 51)  # a coordinator that is being found, or still busy with its last transaction
_GROUP, _TRANSACTION = 0, 1
_WAIT = 0.1


class Need(NamedTuple):
    """One operation on one resource; its name with prefix."""

    resource: Resource
    name: str
    operation: Operation


def of_worker(settings: Settings, installation: Installation, stages: Iterable[str]) -> set[Need]:
    """The needs of a worker of these stages."""
    needs = set()
    for name in stages:
        stage = STAGES[name][0](settings, installation)
        state, remembered = (installation.changelog(name, kind) for kind in ("state", "remembered"))
        reads = {*map(installation.topic, stage.inputs), state, *((remembered,) if stage.logs else ())}
        writes = {*map(installation.topic, stage.outputs), state, *((remembered,) if stage.logs else ())}
        needs |= {Need("topic", topic, "READ") for topic in reads}
        needs |= {Need("topic", topic, "WRITE") for topic in writes}
        if stage.logs:
            needs.add(Need("topic", remembered, "DELETE"))  # of its records, once nobody needs them
        needs.add(Need("group", installation.group(name), "READ"))
        # Not that of a task: asking would fence the worker that has it.
        needs.add(Need("transactional id", f"{installation.group(name)}-check", "WRITE"))
    if settings.dead_letters.pause and "classify" in stages:
        needs.add(Need("group", installation.group("dlq-accept"), "DESCRIBE"))
    return needs


def of_rebuild(settings: Settings, installation: Installation) -> set[Need]:
    """The needs of a rebuild: those of a worker, and to delete and make anew what was made of the responses."""
    changelogs = wanted_changelogs(settings, installation, REPLAYED)
    needs = of_worker(settings, installation, REPLAYED)
    needs |= {Need("topic", installation.topic(name), "READ") for name in (*OUTPUT_IDS, topics.WINDOWS)}
    needs |= {Need("topic", wanted.name, operation) for wanted in changelogs for operation in ("CREATE", "DELETE")}
    return needs | {Need("topic", installation.topic(topics.PANES), "DELETE")}


async def missing(installation: Installation, needs: Iterable[Need]) -> list[Refused]:
    """Which needs are not met: first topics that do not exist, then what is not allowed. Raises KafkaFailed."""
    needs = sorted(needs)
    async with clients.client(installation) as client:
        absent, lacking = await _topics(client, [need for need in needs if need.resource == "topic"])
        for need in needs:
            if need.resource == "group" and not await _in_time(_may_use_group, client, need):
                lacking.append(need)
            if need.resource == "transactional id" and not await _in_time(_may_use_id, client, need):
                lacking.append(need)
    refused = [_absent(absent)] if absent else []
    return refused + [_forbidden(installation, list(same)) for _, same in groupby(lacking, key=itemgetter(0, 1))]


async def require(installation: Installation, needs: Iterable[Need]) -> None:
    """Raises NotSetUp, with a line for each thing that is missing; KafkaFailed."""
    if refused := await missing(installation, needs):
        raise NotSetUp("\n".join(map(str, refused)))


def _absent(names: Iterable[str]) -> Refused:
    todo = "run `npsflow topics create`, or check NPSFLOW_PREFIX"
    return Refused("topic", f"there is no {', '.join(sorted(names))}", todo)


def _forbidden(installation: Installation, needs: list[Need]) -> Refused:
    """The error for needs on one resource."""
    security = installation.security
    who = "this client"
    if security.login:
        who = f"user {security.user!r}"
    elif security.certificate:
        who = f"the client with {security.certificate}"
    operations = " and ".join(need.operation for need in needs)
    return Refused("permission", f"{who} may not {operations} {needs[0].resource} {needs[0].name}", ALLOW)


async def _topics(client: AIOKafkaClient, needs: list[Need]) -> tuple[set[str], list[Need]]:
    """Topics that do not exist, and the needs that are not allowed on the others."""
    async with asyncio.timeout(STEP):
        # Permission to make topics may be one on the cluster. It is asked for only then: refusals are in the audit log.
        cluster = any(need.operation == "CREATE" for need in needs)
        request = DescribeTopics(sorted({need.name for need in needs}), cluster)
        answer = await client.send(client.get_random_node(), request)
    allowed = {name: 0 if code == _NO_TOPIC else bits for code, name, _, _, bits in answer.topics}
    absent = {name for code, name, *_ in answer.topics if code == _UNKNOWN_TOPIC}
    lacking = []
    for need in needs:
        operations = allowed[need.name]
        if need.operation == "CREATE":
            operations |= answer.cluster_authorized_operations
        if need.name not in absent and not operations & 1 << _BITS[need.operation]:
            lacking.append(need)
    return absent, lacking


async def _in_time(ask: Callable[[AIOKafkaClient, Need], Awaitable[int | None]], client: Any, need: Need) -> bool:
    """Ask until the coordinator answers; gives whether the operation is allowed."""
    try:
        async with asyncio.timeout(clients.PATIENCE):
            while True:
                operations = await ask(client, need)
                if operations is not None:
                    return bool(operations & 1 << _BITS[need.operation])
                await asyncio.sleep(_WAIT)
    except TimeoutError:
        text = f"no broker answers for {need.resource} {need.name} within {clients.PATIENCE:g} s"
        raise Refused("reach", text, "look into the brokers' logs, and try again") from None


async def _may_use_group(client: AIOKafkaClient, need: Need) -> int | None:
    try:
        node = await client.coordinator_lookup(_GROUP, need.name)
    except KafkaError as error:
        return _allowed(error)
    ((code, *_, operations),) = (await client.send(node, DescribeGroup(need.name))).groups
    return None if code in _BUSY else 0 if code == _NO_GROUP else operations


async def _may_use_id(client: AIOKafkaClient, need: Need) -> int | None:
    """Ask for a producer id. No transaction begins: Kafka only notes the id, and forgets it after a week."""
    try:
        node = await client.coordinator_lookup(_TRANSACTION, need.name)
    except KafkaError as error:
        return _allowed(error)
    code = (await client.send(node, InitProducerIdRequest(need.name, 1000))).error_code
    if code in (0, _NO_ID):
        return 0 if code else 1 << _BITS["WRITE"]
    if code in _BUSY:
        return None
    raise for_code(code)(need.name)


def _allowed(error: KafkaError) -> int | None:
    """What an error of a coordinator lookup means: 0 for no permission, None for too early to ask."""
    code = getattr(error, "errno", None)
    if code in (_NO_GROUP, _NO_ID):
        return 0
    if code in _BUSY:
        return None
    raise error
