"""Find the MIDI tracks in the bytes of a file, and check the file before events are parsed."""

_HEADER_BYTES = 14
_END_OF_TRACK = b"\xff\x2f\x00"
_MACBINARY_BYTES = 128


class MidiError(ValueError):
    """A MIDI file cannot be read; the message is the reason, without the file name."""


def unwrapped(content: bytes) -> bytes:
    """Return the Standard MIDI File inside a MacBinary or RIFF (RMID) file; other content unchanged.

    Raises `MidiError` where an RMID file has no MIDI data.
    """
    # MacBinary: a zero byte, the length of the file name, ..., from byte 83 the length of the data after the header.
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
    """Return ticks per quarter note, and (start, end) of the bytes of each track that the header counts.

    Other chunks, and bytes after the last track, are ignored. Raises `MidiError` where the header is no MIDI header,
    or a track that it counts is missing.
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
    """Raise `MidiError` where `content[start:end]` cannot be the whole track."""
    if end > len(content):
        raise MidiError("truncated: a track is longer than the file")
    name = content[end : end + 4]
    is_chunk = len(name) == 4 and name.isascii() and name.decode().isprintable()
    # Stray bytes after the end-of-track event are harmless, and so are zeros; anything else belongs to the track.
    if not is_chunk and not content[start:end].endswith(_END_OF_TRACK) and content[end:].strip(b"\0"):
        raise MidiError(f"damaged: the length of a track is given as {end - start} bytes, but the track goes on")
