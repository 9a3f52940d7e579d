import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wicket.runtime.upstream.sse import EventReader, EventTooLong

ENDS = st.sampled_from(["\n", "\r\n", "\r"])


def read(*chunks: bytes, limit: int = 1_000) -> list[bytes]:
    reader = EventReader(limit)
    return [data for chunk in chunks for data in reader.feed(chunk)]


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"data: a\n\n", [b"a"]),
        (b"data:a\n\n", [b"a"]),
        (b"data:  a\n\n", [b" a"]),
        (b"event: message\ndata: a\nid: 1\nretry: 5\n\n", [b"a"]),
        (b"event: ping\ndata: a\n\ndata: b\n\n", [b"b"]),
        (b"data: a\ndata: b\n\n", [b"a\nb"]),
        (b": comment\n\ndata: a\n\n", [b"a"]),
        (b"id: 0\ndata:\n\ndata: a\n\n", [b"a"]),
        (b"\xef\xbb\xbfdata: a\n\n", [b"a"]),
        (b"data: a\r\n\r\ndata: b\r\rdata: c\n\n", [b"a", b"b", b"c"]),
        (b"data: a\r\n\ndata: b\r\n\n", [b"a", b"b"]),
        (b"data: a", []),
        (b"data: a\n", []),
        (b"nonsense\ndata: a\n\n", [b"a"]),
        (b"data: \xe2\x80\xa8\xc2\x85\x0b\x0c\n\n", ["\u2028\u0085\x0b\x0c".encode()]),
        (b"", []),
    ],
)
def test_events_are_read_as_the_standard_says(stream: bytes, expected: list[bytes]) -> None:
    assert read(stream) == expected
    assert read(*(stream[index : index + 1] for index in range(len(stream)))) == expected


@given(
    st.lists(st.tuples(st.text(max_size=20), ENDS, st.booleans()), max_size=10),
    st.lists(st.integers(0, 400), max_size=20),
)
def test_events_are_the_same_however_the_stream_is_cut(
    events: list[tuple[str, str, bool]], cuts: list[int]
) -> None:
    stream = b""
    for text, end, has_comment in events:
        comment = f": still here{end}{end}" if has_comment else ""
        stream += f"{comment}event: message{end}data: {json.dumps(text)}{end}{end}".encode()
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    chunks = [stream[first:last] for first, last in pairwise(edges)]
    assert [json.loads(data) for data in read(*chunks)] == [text for text, _, _ in events]


def test_an_event_is_out_before_the_next_byte_comes() -> None:
    reader = EventReader(1_000)
    assert list(reader.feed(b"data: a\n")) == []
    assert list(reader.feed(b"\n")) == [b"a"]
    assert list(reader.feed(b"data: b\r\n\r")) == [b"b"]
    assert list(reader.feed(b"\nevent: message\r\ndata: c\r\n\r\n")) == [b"c"]
    assert list(reader.feed(b"event: message\r\ndata: d\r\n\r\n")) == [b"d"]
    assert list(reader.feed(b"event: message\ndata: e\n\n")) == [b"e"]
    assert list(reader.feed(b"event: other\n")) == []
    assert list(reader.feed(b"data: f\n\n")) == []
    assert list(reader.feed(b"data: g\n\n")) == [b"g"]


@pytest.mark.parametrize(
    "chunks",
    [
        [b"data: " + b"x" * 2_000],
        [b"data: x\n"] * 600,
        [b"x" * 10] * 200,
        [b"data: x\n\n", b"data: " + b"x" * 2_000 + b"\n\n"],
    ],
)
def test_an_event_beyond_its_bound_is_refused(chunks: list[bytes]) -> None:
    with pytest.raises(EventTooLong):
        read(*chunks)


def test_comments_for_hours_are_no_long_event() -> None:
    assert read(*[b": keep-alive\n\n"] * 1_000, *[b": keep-alive\n"] * 1_000, b"data: a\n\n") == [b"a"]
