"""A disk that fails on command, under a real process: see io_faults.c, which is preloaded under it.

disk = Disk(library, tmp_path / "data", tmp_path / "control")
server = Server(location, settings=disk.environment)
disk.fail(Kind.WRITE, error=errno.ENOSPC, at=disk.count(Kind.WRITE) + 3)
"""

import errno
import hashlib
import mmap
import os
import shutil
import struct
import subprocess
from collections.abc import Mapping
from enum import IntEnum
from pathlib import Path

SOURCE = Path(__file__).with_name("io_faults.c")
FOR_EVER = 2**63 - 1
_FIELD = struct.Struct("<q")


class Kind(IntEnum):
    """What is counted, each for itself; the numbers are their places in `struct control`."""

    WRITE = 0
    SYNC = 1
    TRUNCATE = 2
    CREATE = 3
    OPEN = 4
    """For writing, of what is there."""


_KINDS, _ERROR, _FIRST, _LAST, _STRUCK, _IS_LIMITED, _ROOM = range(len(Kind), len(Kind) + 7)
"""The other fields, in their order."""
_CONTROL_BYTES = (_ROOM + 1) * _FIELD.size


def compile_faults(folder: Path, source: Path = SOURCE) -> Path:
    """The library, compiled once for each version of its source; needs a C compiler."""
    digest = hashlib.sha256(source.read_bytes()).hexdigest()[:16]
    library = folder / f"{source.stem}-{digest}.so"
    if not library.exists():
        compiler = shutil.which("cc")
        assert compiler is not None, (
            "faults below Python are made by a C library: install a C compiler (`cc`)"
        )
        draft = folder / f"{library.name}.{os.getpid()}"
        flags = ("-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC")
        subprocess.run([compiler, *flags, "-o", draft, source, "-ldl"], check=True)
        draft.replace(library)
    return library


class Disk:
    """What the files below `directory` go through in every process that has `environment`."""

    def __init__(self, library: Path, directory: Path, control: Path) -> None:
        control.write_bytes(bytes(_CONTROL_BYTES))
        with control.open("r+b") as file:
            self._control = mmap.mmap(file.fileno(), _CONTROL_BYTES)
        self.environment: Mapping[str, str] = {
            "LD_PRELOAD": str(library),
            "IO_FAULTS_DIRECTORY": str(directory.resolve()),
            "IO_FAULTS_CONTROL": str(control),
        }

    def count(self, kind: Kind) -> int:
        """How many there have been, in all processes."""
        return self._get(kind)

    @property
    def struck(self) -> int:
        """How many have failed."""
        return self._get(_STRUCK)

    def fail(self, *kinds: Kind, error: int, at: int = 1, to: int = FOR_EVER) -> None:
        """Fail with `error` from the operation of this number on, by `count`; up to the one of number `to`."""
        self.work()
        chosen = sum(1 << kind for kind in kinds)
        for field, value in ((_KINDS, chosen), (_FIRST, at), (_LAST, to), (_ERROR, error)):
            self._set(field, value)

    def be_read_only(self) -> None:
        """As a file system is that the kernel mounts so after an error."""
        self.fail(Kind.WRITE, Kind.TRUNCATE, Kind.CREATE, Kind.OPEN, error=errno.EROFS)

    def limit(self, room_bytes: int) -> None:
        """Let files grow by so much in all: what is deleted gives room back."""
        self._set(_ROOM, room_bytes)
        self._set(_IS_LIMITED, 1)

    @property
    def room_bytes(self) -> int:
        return self._get(_ROOM)

    def work(self) -> None:
        """Fail no more."""
        self._set(_ERROR, 0)
        self._set(_IS_LIMITED, 0)

    def _get(self, field: int) -> int:
        return int(_FIELD.unpack_from(self._control, field * _FIELD.size)[0])

    def _set(self, field: int, value: int) -> None:
        _FIELD.pack_into(self._control, field * _FIELD.size, value)
