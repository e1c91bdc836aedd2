"""`sealing`: microseconds to seal and to open a response with four personal texts, and bytes of a customer's key."""

import tracemalloc
from time import process_time

from npsflow.agents.sealing import fields
from npsflow.agents.sealing.cipher import new_key_id, new_secret, seal
from npsflow.agents.sealing.table import KeyTable
from npsflow.schemas import codec
from npsflow.streams.engine.installation import Installation
from tests.bench.common import report, scaled
from tests.support.responses import response

_CUSTOMERS = 100_000
_ROUNDS = 9
_RESPONSES = 1_000
_RESPONSE = response(
    comment="I explained it three times, and nobody called me back. I will cancel.",
    channel="phone",
    department="Delivery",
    customer={"id": "C-1", "name": "Ann Example", "email": "ann@example.com", "phone": "+31 6 12345678"},
)


def run(at: Installation) -> None:
    tracemalloc.start()
    table = KeyTable()
    for number in range(scaled(_CUSTOMERS)):
        table.put(f"C-{number}", new_key_id(), new_secret(), 0)
    each = tracemalloc.get_traced_memory()[0] / len(table)
    tracemalloc.stop()
    key, value = table.find("C-1"), codec.dumps(_RESPONSE)
    assert key is not None
    sealing, opening = [], []
    for _ in range(_ROUNDS):
        began = process_time()
        for _ in range(_RESPONSES):
            found = codec.loads(value)
            fields.is_personal(found, ())
            sealed = codec.dumps(fields.sealed(found, (), lambda text: seal(text.encode(), key.id, key.secret)))
        between = process_time()
        for _ in range(_RESPONSES):
            table.open(sealed)
        sealing.append((between - began) / _RESPONSES * 1e6)
        opening.append((process_time() - between) / _RESPONSES * 1e6)
    grown = len(sealed) / len(value)
    report("sealing", value=min(sealing), unit="µs/response", opened=min(opening), bytes_a_key=each, grown=grown)
