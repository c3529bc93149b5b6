"""Parse a Standard MIDI File into arrays of channel events, vectorized with numpy.

Existing fast parsers pair note-ons with note-offs first in, first out, drop unpaired notes and lose the channel, so the
rolls of about half of real files would differ from `pretty_midi`'s. We keep the raw events; `data/song.py` applies
`pretty_midi`'s rules to them.

The parser works on blocks of bytes. For each byte it computes where the next event would start if an event started
here. Following these links from the start of a track visits exactly its events.
"""

from bisect import bisect_left
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.files import read_limited

NOTE_OFF, NOTE_ON, CONTROL_CHANGE, PROGRAM_CHANGE, PITCH_BEND = 0x8, 0x9, 0xB, 0xC, 0xE
MAX_BYTES = 8_000_000  # about two million notes; the largest files of real music have a tenth
_META, _SYSEX, _SYSEX_ESCAPE, _SET_TEMPO = 0xFF, 0xF0, 0xF7, 0x51
# Number of data bytes after the status bytes 0xF0, 0xF1, ...; 0 where it is not fixed.
_SYSTEM_COMMON_BYTES = np.array([0, 1, 2, 1, *[0] * 12])
_BLOCK_BYTES = 1 << 15  # parsing takes about 70 bytes of memory a byte
# Largest look-ahead from a byte: delta time, status, kind of meta event, length.
_LOOKAHEAD_BYTES = 10
_HEADER_BYTES = 14
_END_OF_TRACK = b"\xff\x2f\x00"
_MACBINARY_BYTES = 128
_ENDLESS = 1 << 40  # value of a variable-length quantity of more than four bytes


class MidiError(ValueError):
    """A MIDI file cannot be read; the message is the reason, without the file name."""


@dataclass(frozen=True)
class MidiEvents:
    """Channel events of all tracks, (n,) each, by track and then in file order.

    `tick` (from the start of the track) and `track` are int64; `kind` (`NOTE_ON`, ...), `channel`, `data1` and `data2`
    are uint8. `tempo_tick` and `tempo_microseconds` (per quarter note) are the tempo changes of the first track; files
    of type 0 and 1 have no others.
    """

    ticks_per_quarter: int
    tick: np.ndarray
    track: np.ndarray
    kind: np.ndarray
    channel: np.ndarray
    data1: np.ndarray
    data2: np.ndarray
    tempo_tick: np.ndarray
    tempo_microseconds: np.ndarray


def read_midi_events(path: Path) -> MidiEvents:
    """Read a Standard MIDI File, also inside a RIFF (RMID) or MacBinary file.

    Raises `MidiError` where the content is not MIDI, damaged or over `MAX_BYTES`, or `path` is a device or a pipe;
    `OSError` where the file cannot be read.
    """
    try:
        content = _unwrapped(read_limited(path, MAX_BYTES))
    except ValueError as error:
        raise MidiError(str(error)) from error
    ticks_per_quarter, chunks = _track_chunks(content)
    data = np.frombuffer(content + bytes(_LOOKAHEAD_BYTES), np.uint8)
    return _decode(data, *_find_events(data, chunks), ticks_per_quarter)


def _unwrapped(content: bytes) -> bytes:
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


def _track_chunks(content: bytes) -> tuple[int, list[tuple[int, int]]]:
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


def _varlen(data: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return value and number of bytes (1 to 4) of the variable-length quantity at each position of `at`."""
    value, length = (data[at] & 0x7F).astype(np.int64), np.ones(len(at), np.int64)
    more = data[at] >= 0x80
    for _ in range(3):
        if not more.any():
            return value, length
        byte = data[at + length]
        value = np.where(more, value << 7 | byte & 0x7F, value)
        length += more
        more &= byte >= 0x80
    value[more] = _ENDLESS
    return value, length


def _find_events(data: np.ndarray, chunks: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    """Return the byte position of each event of each track, int64 (events,), and the number of events of each track."""
    size = chunks[-1][1]
    state = [2 * start for start, _ in chunks]
    positions, counts = [], np.zeros(len(chunks), np.int64)
    unfinished = 0  # the first track not yet read to its end
    for first in range(0, size, _BLOCK_BYTES):
        block_end = min(first + _BLOCK_BYTES, size)
        begun = bisect_left(chunks, (block_end,))
        if unfinished == begun:
            continue
        tracks = slice(unfinished, begun)
        next_state = _link_events(data[first : block_end + _LOOKAHEAD_BYTES], block_end - first)
        limits = [2 * (min(end, block_end) - first) for _, end in chunks[tracks]]
        in_block, n_events, after = _follow(next_state, [at - 2 * first for at in state[tracks]], limits)
        state[tracks] = [at + 2 * first for at in after]
        positions.append(first + in_block)
        counts[tracks] += n_events
        if any(at >> 1 > end for at, (_, end) in zip(state[tracks], chunks[tracks], strict=True)):
            raise MidiError("damaged: an event runs past the end of its track")
        unfinished = begun if state[begun - 1] >> 1 == chunks[begun - 1][1] else begun - 1
    return np.concatenate(positions), counts


def _link_events(data: np.ndarray, size: int) -> np.ndarray:
    """Return for each state the next state, intp (2 * size,), if an event started there.

    A state is 2 * position, for the first `size` positions of `data`, plus 1 where running status has two data bytes.
    The next position may lie past `size`.
    """
    high = data >= 0x80
    # A delta time ends at its first byte below 0x80, and has at most four bytes.
    two = high[:size] & high[1 : size + 1]
    three = two & high[2 : size + 2]
    delta_length = 1 + high[:size].view(np.uint8) + two + three
    status = data[1 : size + 1]
    for offset, so_long in ((2, high[:size]), (3, two), (4, three)):
        status = _choose(so_long, data[offset : size + offset], status)
    explicit = status >= 0x80
    channel_message = explicit & (status < 0xF0)
    two_data_bytes = channel_message & ((status < 0xC0) | (status >= 0xE0))
    system = np.flatnonzero(status >= 0xF0)
    after_system = _after_system_message(data, system + delta_length[system])

    here = np.arange(0, 2 * size, 2)
    next_state = np.empty((size, 2), np.intp)
    for running_two in (0, 1):
        # Lengths here are below ten, so all lines but the last are uint8 arithmetic.
        running_bytes = ~explicit * np.uint8(1 + running_two)
        length = delta_length + explicit + channel_message + two_data_bytes + running_bytes
        keeps_two = two_data_bytes | ~channel_message if running_two else two_data_bytes
        next_state[:, running_two] = here + (2 * length + keeps_two)
    next_state[system] = np.add.outer(2 * after_system, [0, 1])
    return next_state.ravel()


def _choose(condition: np.ndarray, chosen: np.ndarray, other: np.ndarray) -> np.ndarray:
    """`numpy.where` of uint8 arrays by bit masks, ten times faster because numpy vectorizes it."""
    return other ^ ((chosen ^ other) & -condition.view(np.uint8))


def _after_system_message(data: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return the position after the meta or system message with its status byte at each of `at`."""
    status = data[at]
    is_meta = status == _META
    has_length = is_meta | (status == _SYSEX) | (status == _SYSEX_ESCAPE)
    # Positions inside an event may point past the file; `_find_events` rejects tracks that get there.
    length, length_bytes = _varlen(data, at + 1 + is_meta)
    return at + 1 + is_meta + np.where(has_length, length_bytes + length, _SYSTEM_COMMON_BYTES[status & 0xF])


def _follow(next_state: np.ndarray, starts: list[int], limits: list[int]) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Follow the links of a block from each state `starts[i]` to the last event that begins before `limits[i]`.

    Returns the positions of the events (events,), the number of events of each start, and the state after the last.
    Links over 4 events, made by doubling, are followed in Python; numpy fills in the events between.
    """
    outside = len(next_state)
    inside = np.minimum(np.append(next_state, outside), outside)
    stride = inside[inside]
    stride = stride[stride]
    steps, links, jumps = memoryview(next_state), memoryview(inside), memoryview(stride)
    milestones: list[int] = []
    n_milestones: list[int] = []
    after: list[int] = []
    for state, limit in zip(starts, limits, strict=True):
        before = len(milestones)
        at = last = state
        while at < limit:
            milestones.append(at)
            last, at = at, jumps[at]
        if len(milestones) > before:
            while links[last] < limit:
                last = links[last]
            state = steps[last]
        after.append(state)
        n_milestones.append(len(milestones) - before)
    states = np.empty((4, len(milestones)), np.intp)
    states[0] = milestones
    for step in range(3):
        states[step + 1] = inside[states[step]]
    walk = np.repeat(np.arange(len(starts)), n_milestones)
    states = states.T
    taken = states < np.array(limits)[walk][:, None]
    counts = np.bincount(walk, taken.sum(axis=1), minlength=len(starts)).astype(np.int64)
    return states[taken] >> 1, counts, after


def _decode(data: np.ndarray, at: np.ndarray, counts: np.ndarray, ticks_per_quarter: int) -> MidiEvents:
    """Decode the events that start at the bytes `at`; track k has `counts[k]` of them."""
    track = np.repeat(np.arange(len(counts)), counts)
    delay, delta_length = _varlen(data, at)
    if delay.max(initial=0) == _ENDLESS:
        raise MidiError("damaged: a delta time has more than four bytes")
    elapsed = np.cumsum(delay)
    first = np.cumsum(counts) - counts
    before_track = np.append(0, elapsed)[first]
    tick = elapsed - before_track[track]

    status_at = at + delta_length
    own_status = data[status_at]
    explicit = own_status >= 0x80
    # Running status repeats the last channel status of the track.
    index = np.arange(len(at))
    source = np.maximum.accumulate(np.where(explicit & (own_status < 0xF0), index, -1))
    running = ~explicit
    if (source[running] < first[track[running]]).any():
        raise MidiError("damaged: an event has no status")
    status = np.where(running, own_status[source], own_status)
    data_at = status_at + explicit
    data1, data2 = data[data_at], data[data_at + 1]

    channel_message = status < 0xF0
    two_bytes = channel_message & ((status < 0xC0) | (status >= 0xE0))
    if (data1[channel_message] >= 0x80).any() or (data2[two_bytes] >= 0x80).any():
        raise MidiError("damaged: a data byte is above 127")
    tempo = (status == _META) & (track == 0) & (data1 == _SET_TEMPO)
    length_at = data_at[tempo] + 1
    length, length_bytes = _varlen(data, length_at)
    if (length < 3).any():
        raise MidiError("damaged: a tempo has fewer than three bytes")
    return MidiEvents(
        ticks_per_quarter,
        *(field[channel_message] for field in (tick, track, status >> 4, status & 0xF, data1, data2)),
        tempo_tick=tick[tempo],
        tempo_microseconds=data[(length_at + length_bytes)[:, None] + np.arange(3)] @ np.array([1 << 16, 1 << 8, 1]),
    )
