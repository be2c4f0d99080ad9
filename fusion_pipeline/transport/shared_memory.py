"""Large arrays between processes of one host: a pool of slots that one process writes and many read in place.

The pool is a memfd. It has no name, so nothing can be left behind, whoever is killed; readers open it through
/proc/<pid>/fd/<fd>. Who uses a slot is a byte-range lock of the kernel (an open file description lock on the slot's
first byte): the writer holds it exclusively while it fills the slot, a reader shares it while it looks. The kernel
frees the locks of the dead, so a dead reader leaks no slot, a stopped one keeps only what it holds, and the writer
takes another. A slot's generation number tells a late reader that its frame has been replaced.

Layout: one page whose first bytes are the pool's token, then slots that begin on a page: generation (8 bytes, little
endian), 56 unused bytes, data.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import struct
import sys
import time
import weakref
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

NAME = "fusion-frames"
SHARED_BYTES = 32 * 1024  # smaller arrays are cheaper inside the message
POOL_BYTES = 1 << 30  # address space; a page takes memory once it is written
MIN_SLOTS = 8  # of each size before any is written again
MAX_SLOTS = 32  # of each size
REST_S = 0.5  # a slot rests this long after use, if another can be had: its message may still be on the way
PAGE = 4096
DATA = 64  # a slot's data lies this far behind its start
TOKEN_BYTES = 16
GENERATION = struct.Struct("<Q")
SEAL_FUTURE_WRITE = 0x10  # F_SEAL_FUTURE_WRITE, which the fcntl module names from Python 3.13 on
_FLOCK = struct.Struct("@hhqqi4x")  # struct flock of 64-bit Linux


class PoolAddress(NamedTuple):
    """Where a pool is found, and the token that proves it."""

    pid: int
    fd: int
    token: bytes


class Place(NamedTuple):
    """Where an array lies: slot (its first byte in the pool), the slot's generation, the array's first byte."""

    slot: int
    generation: int
    start: int


def supported() -> bool:
    """Whether this system has what a pool needs: Linux, 64 bits."""
    return sys.platform == "linux" and sys.maxsize > 2**32 and hasattr(fcntl, "F_OFD_SETLK")


def lock(fd: int, slot: int, kind: int) -> bool:
    """Put a lock of `kind` (F_RDLCK, F_WRLCK, F_UNLCK) on a slot; False where somebody else's is in the way."""
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _FLOCK.pack(kind, os.SEEK_SET, slot, 1, 0))
    except (BlockingIOError, PermissionError):
        return False
    return True


@dataclass(slots=True)
class _Slot:
    offset: int
    capacity: int
    generation: int = 0
    taken_s: float = 0.0  # monotonic
    lent: bool = False  # an array of the user's lies in it


class _Loan:
    """The base of a lent array: numpy keeps it while any view of the array lives."""

    __slots__ = ("__array_interface__", "__weakref__", "_pool")

    def __init__(self, pool: Pool, address: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self._pool = pool
        self.__array_interface__ = {"version": 3, "shape": shape, "typestr": dtype.str, "data": (address, False)}


class Pool:
    """The writer's side. Raises OSError where the system gives no memory for it."""

    def __init__(self) -> None:
        self._fd = os.memfd_create(NAME, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        weakref.finalize(self, os.close, self._fd).atexit = False
        os.ftruncate(self._fd, POOL_BYTES)
        self._map = mmap.mmap(self._fd, POOL_BYTES)
        # No reader can be hit by a smaller file, or write to this one.
        seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | SEAL_FUTURE_WRITE
        with contextlib.suppress(OSError):  # a kernel before 5.1 does not know the last one
            fcntl.fcntl(self._fd, fcntl.F_ADD_SEALS, seals)
        fcntl.fcntl(self._fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
        token = os.urandom(TOKEN_BYTES)
        self._map[:TOKEN_BYTES] = token
        self._bytes = np.frombuffer(self._map, np.uint8)
        self._base = address_of(self._bytes)
        self._next = PAGE
        self._slots: dict[int, deque[_Slot]] = {}  # by size; the one taken longest ago first
        self._lent: dict[int, _Slot] = {}
        self.address = PoolAddress(os.getpid(), self._fd, token)

    def loan(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any] | None:
        """An uninitialised array in a slot, its own until its last view is gone; None where no slot is free."""
        kind = np.dtype(dtype)
        slot = self._take(prod(shape) * kind.itemsize)
        if slot is None:
            return None
        loan = _Loan(self, self._base + slot.offset + DATA, shape, kind)
        slot.lent = True
        self._lent[slot.offset] = slot
        weakref.finalize(loan, self._return, slot).atexit = False
        return np.asarray(loan)

    def place(self, arrays: Sequence[NDArray[Any]]) -> list[Place | None]:
        """Put the large ones of `arrays` (C-contiguous) into slots, without a copy where they lie in a lent one.

        None stands for an array that is small, or for which no slot is free. A lent array becomes read-only.
        """
        places = [self._publish_loan(array) if array.nbytes >= SHARED_BYTES else None for array in arrays]
        copied = [i for i, place in enumerate(places) if place is None and arrays[i].nbytes >= SHARED_BYTES]
        if not copied:
            return places
        slot = self._take(sum(_padded(arrays[i].nbytes) for i in copied))
        if slot is None:
            return places
        start = slot.offset + DATA
        for i in copied:
            self._bytes[start : start + arrays[i].nbytes] = arrays[i].reshape(-1).view(np.uint8)
            places[i] = Place(slot.offset, slot.generation, start)
            start += _padded(arrays[i].nbytes)
        lock(self._fd, slot.offset, fcntl.F_UNLCK)
        return places

    def _publish_loan(self, array: NDArray[Any]) -> Place | None:
        start = address_of(array) - self._base
        if not 0 <= start < POOL_BYTES or start % array.itemsize:
            return None
        for slot in tuple(self._lent.values()):  # a copy: loans may die in other threads
            if slot.offset + DATA <= start and start + array.nbytes <= slot.offset + slot.capacity:
                array.flags.writeable = False
                lock(self._fd, slot.offset, fcntl.F_UNLCK)
                return Place(slot.offset, slot.generation, start)
        return None

    def _return(self, slot: _Slot) -> None:
        # Last of all `lent`: until then nobody takes the slot, whichever thread the array died in.
        self._lent.pop(slot.offset, None)
        lock(self._fd, slot.offset, fcntl.F_UNLCK)
        slot.lent = False

    def _take(self, size: int) -> _Slot | None:
        """A slot that nobody uses, exclusively locked, with a new generation number."""
        capacity, now = slot_bytes(size), time.monotonic()
        slots = self._slots.setdefault(capacity, deque())
        slot = self._unused(slots, now - REST_S) if len(slots) >= MIN_SLOTS else None
        slot = slot or self._grown(slots, capacity) or self._unused(slots, now)
        if slot is None:
            return None
        slot.generation += 1
        slot.taken_s = now
        slots.append(slot)
        # Before any byte changes, so that who comes late sees that its frame is gone.
        GENERATION.pack_into(self._map, slot.offset, slot.generation)
        return slot

    def _unused(self, slots: deque[_Slot], taken_before_s: float) -> _Slot | None:
        for slot in slots:
            if slot.taken_s > taken_before_s:
                return None
            if not slot.lent and lock(self._fd, slot.offset, fcntl.F_WRLCK):
                slots.remove(slot)
                return slot
        return None

    def _grown(self, slots: deque[_Slot], capacity: int) -> _Slot | None:
        if len(slots) >= MAX_SLOTS or self._next + capacity > POOL_BYTES:
            return None
        slot = _Slot(self._next, capacity)
        self._next += capacity
        lock(self._fd, slot.offset, fcntl.F_WRLCK)
        return slot


def address_of(array: NDArray[Any]) -> int:
    """The address of the array's first byte."""
    address: int = array.__array_interface__["data"][0]
    return address


def slot_bytes(size: int) -> int:
    """The slot size that holds `size` bytes of data: a power of two of at least 64 KiB. Unused pages cost nothing."""
    return 1 << max(16, (size + DATA - 1).bit_length())


def _padded(size: int) -> int:
    return -(-size // DATA) * DATA
