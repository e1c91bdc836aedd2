"""Keys and values of records in a temporary file without a name: a million of them would not fit into memory."""

import os
from struct import Struct
from tempfile import TemporaryFile

_LENGTHS = Struct("<II")
_BUFFER = 1 << 20


class Spool:
    """Takes records and gives each back by its place. The file is gone when the process ends."""

    def __init__(self) -> None:
        self._file = TemporaryFile(buffering=_BUFFER, prefix="npsflow-")  # noqa: SIM115 - as long as the spool lives
        self._end = 0
        self._written = True

    def __del__(self) -> None:
        self._file.close()

    def put(self, key: bytes, value: bytes) -> int:
        """Keep a record; gives its place."""
        place = self._end
        self._end += self._file.write(_LENGTHS.pack(len(key), len(value)) + key + value)
        self._written = False
        return place

    def get(self, place: int) -> tuple[bytes, bytes]:
        """The key and the value at this place."""
        if not self._written:
            self._file.flush()
            self._written = True
        fd = self._file.fileno()
        key, value = _LENGTHS.unpack(os.pread(fd, _LENGTHS.size, place))
        both = os.pread(fd, key + value, place + _LENGTHS.size)
        return both[:key], both[key:]
