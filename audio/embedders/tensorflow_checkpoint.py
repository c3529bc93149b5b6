"""Reads variables out of a TensorFlow checkpoint of format V2, without TensorFlow.

A checkpoint is two files. The index is a LevelDB table (sorted keys, blocks with prefix compression, a footer) that
maps a variable's name to a `BundleEntryProto`; the data file holds the values, little-endian, at the offsets that the
entries name. Blocks and values carry a masked CRC-32C, which is checked here.

Formats: LevelDB's doc/table_format.md; TensorFlow's tensor_bundle.proto and tensor_bundle.h.
"""

from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np

TABLE_MAGIC = 0xDB4775248B80FB57
FOOTER_BYTES = 48
FLOAT32 = 1  # DT_FLOAT of TensorFlow's types.proto
VARINT, BYTES, FIXED32 = 0, 2, 5  # wire types of Protocol Buffers


class DamagedCheckpoint(ValueError):
    """A file that is no checkpoint, or whose content does not match its checksums. The message names the file."""


def read_variables(index: Path, data: Path, names: Collection[str]) -> dict[str, np.ndarray]:
    """The named float32 variables of a checkpoint with one data file. Raises `DamagedCheckpoint`."""
    entries = _read_index(index)
    if missing := sorted(set(names) - entries.keys()):
        raise DamagedCheckpoint(f"{index}: has no variable {missing[0]}")
    content = data.read_bytes()
    return {name: _read_value(name, entries[name], content, data) for name in names}


def _read_value(name: str, message: bytes, content: bytes, path: Path) -> np.ndarray:
    # BundleEntryProto: 1 dtype, 2 shape, 4 offset, 5 size, 6 crc32c. Zeros are left out.
    entry = dict(_fields(message))
    if entry.get(1) != FLOAT32:
        raise DamagedCheckpoint(f"{path}: {name} is not float32")
    # TensorShapeProto: repeated 2 dim, each with 1 size.
    shape = [dict(_fields(dimension))[1] for field, dimension in _fields(entry.get(2, b"")) if field == 2]
    start = entry.get(4, 0)
    value = content[start : start + entry[5]]
    if len(value) != 4 * np.prod(shape, dtype=int) or masked_crc32c(value) != entry[6]:
        raise DamagedCheckpoint(f"{path}: {name} does not match its checksum")
    return np.frombuffer(value, "<f4").reshape(shape)


def _read_index(path: Path) -> dict[str, bytes]:
    """Every key of the table with its encoded entry; the key "" is the table's header."""
    content = path.read_bytes()
    footer = content[-FOOTER_BYTES:]
    if len(footer) < FOOTER_BYTES or int.from_bytes(footer[-8:], "little") != TABLE_MAGIC:
        raise DamagedCheckpoint(f"{path}: not the index of a TensorFlow checkpoint")
    # The footer holds two handles, of the meta index, which is empty, and of the index of the blocks.
    _, _, offset, size = _varints(footer, 4)
    index = _block(content, offset, size, path)
    blocks = [_block(content, *_varints(handle, 2), path) for _, handle in _entries(index)]
    return {key.decode(): value for block in blocks for key, value in _entries(block)}


def _block(content: bytes, offset: int, size: int, path: Path) -> bytes:
    block = content[offset : offset + size + 5]  # and its compression type (1 byte) and checksum (4)
    if len(block) != size + 5 or masked_crc32c(block[:-4]) != int.from_bytes(block[-4:], "little"):
        raise DamagedCheckpoint(f"{path}: a block does not match its checksum")
    if block[size]:
        raise DamagedCheckpoint(f"{path}: compressed blocks are not supported")
    return block[:size]


def _entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a block. A key is stored as what it does not share with the key before it."""
    restarts = int.from_bytes(block[-4:], "little")
    end = len(block) - 4 * (restarts + 1)
    position, key = 0, b""
    while position < end:
        shared, position = _varint(block, position)
        own, position = _varint(block, position)
        size, position = _varint(block, position)
        key = key[:shared] + block[position : position + own]
        position += own
        yield key, block[position : position + size]
        position += size


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Field numbers and values of an encoded Protocol Buffers message."""
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        number, wire_type = tag >> 3, tag & 7
        if wire_type == VARINT:
            value, position = _varint(message, position)
        elif wire_type == FIXED32:
            value, position = int.from_bytes(message[position : position + 4], "little"), position + 4
        elif wire_type == BYTES:
            size, position = _varint(message, position)
            value, position = message[position : position + size], position + size
        else:
            raise ValueError(f"wire type {wire_type} does not occur in a checkpoint")
        yield number, value


def _varints(content: bytes, count: int) -> list[int]:
    position, values = 0, []
    for _ in range(count):
        value, position = _varint(content, position)
        values.append(value)
    return values


def _varint(content: bytes, position: int) -> tuple[int, int]:
    """A base-128 number and the position after it."""
    value = shift = 0
    while content[position] & 0x80:
        value |= (content[position] & 0x7F) << shift
        position, shift = position + 1, shift + 7
    return value | content[position] << shift, position + 1


def _crc32c_table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)  # Castagnoli's polynomial, bits reversed
        table.append(value)
    return table


CRC32C_TABLE = _crc32c_table()


def masked_crc32c(content: bytes) -> int:
    """CRC-32C (RFC 3720, appendix B.4), masked as LevelDB stores it: rotated, plus a constant."""
    table, crc = CRC32C_TABLE, 0xFFFFFFFF
    for byte in content:
        crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
