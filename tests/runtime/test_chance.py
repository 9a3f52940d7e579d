import os

from wicket.runtime.chance import HELPING_BYTES, Chance


def test_bytes_are_given_out_but_once() -> None:
    chance = Chance()
    sizes = [8, 10, HELPING_BYTES - 20, 8, HELPING_BYTES + 1, 16, 0]
    given = [chance(size) for size in sizes]
    assert [len(some) for some in given] == sizes
    pieces = [some[at : at + 8] for some in given for at in range(0, len(some) - 7, 8)]
    assert len(set(pieces)) == len(pieces) > 2 * HELPING_BYTES // 8 - 10


def test_a_forked_child_gives_out_others_than_its_parent() -> None:
    chance = Chance()
    chance(8)
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.write(writer, chance(32))
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 32) != chance(32)
    os.close(reader)
    os.close(writer)
