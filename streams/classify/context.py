"""The context that events carry, cut out of the encoded response: to encode it as well would take longer.

A pattern of these below is in the JSON only where it is looked for. In a text every quotation mark is escaped, so that
none of `,"`, `":` and `":{` holds one of its own; and of a free dict, the attributes, no value is an object.
"""

from collections.abc import Sequence
from operator import attrgetter

from npsflow.schemas.response import Customer, Response

_FIELDS = Response.__struct_fields__
_REST = _FIELDS[_FIELDS.index("customer") + 1 :]
_PRIVATE = Customer.__struct_fields__[Customer.__struct_fields__.index("name") :]
_rest_of, _private_of = attrgetter(*_REST), attrgetter(*_PRIVATE)
_NO_REST, _NO_PRIVATE = (None,) * len(_REST), (None,) * len(_PRIVATE)
_SUBMITTED_AT = b',"submitted_at":'


def category_field(category: str) -> bytes:
    """What `cut_context` puts in the place of the name of `submitted_at`: the category, which comes before it."""
    return b',"category":"%s"' % category.encode() + _SUBMITTED_AT


def cut_context(response: Response, encoded: bytes, category: bytes, private_fields: bool) -> bytes:
    """The JSON of the `Context` of a response that is `encoded`; `category` is its `category_field`.

    Of a customer's name, address and phone number nothing is in it without `private_fields`.
    """
    if (rest := _rest_of(response)) != _NO_REST:
        encoded = encoded[: encoded.rfind(b',"%s":' % _first(_REST, rest))] + b"}"
    encoded = encoded.replace(_SUBMITTED_AT, category, 1)
    customer = response.customer
    if customer is None:
        return encoded
    if not private_fields and (private := _private_of(customer)) != _NO_PRIVATE:
        encoded = encoded[: encoded.rfind(b'"%s":' % _first(_PRIVATE, private))].rstrip(b",") + b"}}"
    if customer.id is not None:
        return encoded.replace(b',"customer":{"id":', b',"customer_id":', 1)[:-1]
    return encoded.replace(b',"customer":{}', b"}", 1).replace(b',"customer":{', b",", 1)[:-1]


def _first(names: Sequence[str], values: Sequence[object]) -> bytes:
    """The name of the first value that is there."""
    return next(name for name, value in zip(names, values, strict=True) if value is not None).encode()
