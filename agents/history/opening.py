"""What kind of file it is, and its lines as text: the first bytes show the encoding, and what is no text at all."""

import re
from collections.abc import Iterator
from contextlib import suppress
from io import BufferedReader, TextIOWrapper

from npsflow.agents.history.entries import UnreadableFile

_MARKS = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe\0\0", "utf-32"),
    (b"\0\0\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_SAVE = "open it, and save the sheet as CSV (UTF-8)"
_UNPACK = "unpack it, and import the files in it one by one"
_ZIP = b"PK\x03\x04"
_IN_ZIP = (
    (re.compile(rb"\[Content_Types\]\.xml|xl/|docProps/"), f"an Excel workbook: {_SAVE}"),
    (re.compile(rb"mimetypeapplication/vnd\.oasis"), f"an OpenDocument spreadsheet: {_SAVE}"),
    (re.compile(rb"Index/|Metadata/"), f"a Numbers spreadsheet: {_SAVE}"),
    (re.compile(b""), f"a zip archive: {_UNPACK}"),
)
_OTHERS = (
    (b"PK\x05\x06", "an empty zip archive"),
    (b"\xd0\xcf\x11\xe0", f"an old Excel workbook: {_SAVE}"),
    (b"\x1f\x8b", f"compressed (gzip): {_UNPACK}"),
    (b"BZh", f"compressed (bzip2): {_UNPACK}"),
    (b"\xfd7zXZ", f"compressed (xz): {_UNPACK}"),
    (b"\x28\xb5\x2f\xfd", f"compressed (zstd): {_UNPACK}"),
    (b"7z\xbc\xaf", f"a 7z archive: {_UNPACK}"),
    (b"Rar!", f"a rar archive: {_UNPACK}"),
    (b"%PDF", "a PDF: export the responses as CSV or JSON"),
    (b"{\\rtf", "a text document (RTF): export the responses as CSV or JSON"),
    (b"$FL", "a file of SPSS: export the responses as CSV"),
    (b"PAR1", "a Parquet file: write it as CSV or JSON Lines"),
)


def encoding_of(file: BufferedReader, encoding: str) -> str:
    """The encoding that the byte order mark of the file shows, else the one that is given."""
    begin = file.peek(4)
    return next((name for mark, name in _MARKS if begin.startswith(mark)), encoding)


def text_lines(file: BufferedReader, encoding: str) -> Iterator[str]:
    """Lines with their ends.

    Raises UnreadableFile when the file is no text, and, with the number of the line, where its encoding is another.
    """
    name = encoding_of(file, encoding)
    if name == encoding:
        _check_text(file.peek(4), encoding)
    number = 1
    try:
        # A byte that cannot be decoded becomes half of a surrogate pair, so that its line is known.
        text = TextIOWrapper(file, encoding=name, errors="surrogateescape", newline="")
        try:
            for line in text:
                if not line.isascii():
                    line.encode()
                yield line
                number += 1
        finally:
            with suppress(ValueError):  # the file is closed already
                text.detach()
    except LookupError:
        raise UnreadableFile(f"{encoding!r} is not an encoding") from None
    except UnicodeError:
        raise UnreadableFile(f"line {number} is not {name}: say which it is with --encoding") from None


def _check_text(begin: bytes, encoding: str) -> None:
    if begin.startswith(_ZIP):
        raise UnreadableFile("the file is " + next(kind for pattern, kind in _IN_ZIP if pattern.search(begin)))
    for magic, kind in _OTHERS:
        if begin.startswith(magic):
            raise UnreadableFile(f"the file is {kind}")
    if encoding.lower().startswith(("utf-16", "utf-32", "utf_16", "utf_32", "utf16", "utf32")):
        return
    if b"\0" in begin[:2]:
        order = "le" if begin[1:2] == b"\0" else "be"
        raise UnreadableFile(f"the file looks like UTF-16 without a byte order mark: say --encoding utf-16-{order}")
    if b"\0" in begin:
        raise UnreadableFile("the file is no text: export the responses as CSV or JSON")
