"""The bytes of a file -> where its MIDI tracks are, and the reasons why a file is refused before any event is read."""

_HEADER_BYTES = 14
_END_OF_TRACK = b"\xff\x2f\x00"
_MACBINARY_BYTES = 128


class MidiError(ValueError):
    """The bytes are not a MIDI file that can be read; the message is the reason, without the file's name."""


def unwrapped(content: bytes) -> bytes:
    """The Standard MIDI File in a MacBinary file or a RIFF file of the kind RMID; any other content as it is.

    Raises `MidiError` where a RIFF file of that kind has no MIDI data.
    """
    # MacBinary: a zero byte, the length of the file's name, ..., from byte 83 on the length of the data behind it.
    if content[:1] == b"\0" and content[_MACBINARY_BYTES:][:4] in (b"MThd", b"RIFF"):
        size = int.from_bytes(content[83:87], "big")
        content = content[_MACBINARY_BYTES : _MACBINARY_BYTES + size]
    if content[:4] != b"RIFF" or content[8:12] != b"RMID":
        return content
    position = 12
    while position + 8 <= len(content):
        start, size = position + 8, int.from_bytes(content[position + 4 : position + 8], "little")
        if content[position : position + 4] == b"data":
            return content[start : start + size]
        position = start + size + size % 2
    raise MidiError("a RIFF file (RMID) without MIDI data in it")


def track_chunks(content: bytes) -> tuple[int, list[tuple[int, int]]]:
    """Ticks per quarter note, and (start, end) of the bytes of every track that the header counts.

    Chunks of other kinds are skipped, and whatever follows the last track is ignored. Raises `MidiError` where the
    header is no MIDI header, or not all tracks that it counts are there.
    """
    if content[:4] != b"MThd" or len(content) < _HEADER_BYTES:
        raise MidiError("not a MIDI file (no MThd header)")
    n_tracks, ticks_per_quarter = int.from_bytes(content[10:12], "big"), int.from_bytes(content[12:14], "big")
    if not 0 < ticks_per_quarter < 0x8000:
        raise MidiError("time division is not in ticks per quarter note")
    if not n_tracks:
        raise MidiError("no track in it: its header counts 0 tracks")
    chunks: list[tuple[int, int]] = []
    position = 8 + int.from_bytes(content[4:8], "big")
    while position + 8 <= len(content) and len(chunks) < n_tracks:
        start, position = position + 8, position + 8 + int.from_bytes(content[position + 4 : position + 8], "big")
        if content[start - 8 : start - 4] == b"MTrk":
            _check_end(content, start, position)
            chunks.append((start, position))
    if len(chunks) < n_tracks:
        found = f"only {len(chunks)} of its {n_tracks} tracks can be found" if chunks else "no track in it"
        raise MidiError(f"damaged: {found}; the file is cut off, or a track's length is wrong")
    if all(start == end for start, end in chunks):
        raise MidiError("no note in it: the length of every track is 0")
    return ticks_per_quarter, chunks


def _check_end(content: bytes, start: int, end: int) -> None:
    """Raise `MidiError` where the bytes `start` ... `end` cannot be the whole track."""
    if end > len(content):
        raise MidiError("truncated: a track is longer than the file")
    name = content[end : end + 4]
    is_chunk = len(name) == 4 and name.isascii() and name.decode().isprintable()
    # Stray bytes behind the end-of-track event are harmless, and so are zeros; anything else is the rest of the track.
    if not is_chunk and not content[start:end].endswith(_END_OF_TRACK) and content[end:].strip(b"\0"):
        raise MidiError(f"damaged: the length of a track is given as {end - start} bytes, but the track goes on")
