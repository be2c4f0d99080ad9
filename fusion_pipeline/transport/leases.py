"""The reader's side of shared memory: read-only views of a writer's slots, leased for as long as they live."""

from __future__ import annotations

import fcntl
import mmap
import os
import weakref
from collections import OrderedDict
from pathlib import Path

import numpy as np

from fusion_pipeline.arrays import Array, Bytes
from fusion_pipeline.transport.shared_memory import (
    DATA,
    GENERATION,
    NAME,
    PAGE,
    TOKEN_BYTES,
    PoolAddress,
    address_of,
    lock,
    supported,
)  # fmt: skip

MAX_POOLS = 64  # open at once; the one unused for longest is let go


class Unreachable(Exception):
    """There is no such pool for this process: another host or container, a dead writer, or a forgery."""


class Reused(Exception):
    """The slot holds a newer frame by now."""


class _Lease:
    """A shared lock on one slot, freed when this object dies: it is the base of every view of the slot.

    It has an open file description of its own, so it can be freed in whichever thread the last view dies.
    """

    __slots__ = ("__array_interface__", "_fd", "_mapping", "_slot")

    def __init__(self, mapping: _Mapping, slot: int, fd: int) -> None:
        self._mapping, self._slot, self._fd = mapping, slot, fd
        address = mapping.base + slot
        shape = (mapping.size - slot,)
        self.__array_interface__ = {"version": 3, "shape": shape, "typestr": "|u1", "data": (address, True)}

    def __del__(self) -> None:
        lock(self._fd, self._slot, fcntl.F_UNLCK)
        self._mapping.spare.append(self._fd)


class _Mapping:
    """A pool mapped read-only. Raises Unreachable."""

    def __init__(self, address: PoolAddress) -> None:
        try:
            # Looked at before it is opened: opening a device or a pipe that a forger points to may do things.
            if not _is_pool(address):
                raise Unreachable
            self.fd = os.open(_path(address), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            raise Unreachable from None
        self.spare: list[int] = []  # file descriptions that no lease needs at present
        weakref.finalize(self, _close_all, self.fd, self.spare).atexit = False
        try:
            self.size = os.fstat(self.fd).st_size
            # A file that may shrink could kill its reader by SIGBUS.
            if not fcntl.fcntl(self.fd, fcntl.F_GET_SEALS) & fcntl.F_SEAL_SHRINK or self.size < PAGE:
                raise Unreachable
            self.map = mmap.mmap(self.fd, self.size, prot=mmap.PROT_READ)
        except OSError:
            raise Unreachable from None
        if self.map[:TOKEN_BYTES] != address.token:
            raise Unreachable
        self.base = address_of(np.frombuffer(self.map, np.uint8))

    def owned(self, address: PoolAddress) -> bool:
        """Whether the writer still has the pool open."""
        try:
            # The number alone would not tell: it is given again to the next file that is opened.
            return os.path.samestat(os.fstat(self.fd), Path(_path(address)).stat())
        except OSError:
            return False

    def lease(self, slot: int, generation: int) -> Bytes:
        """Everything from the first byte of `slot` on. Raises Reused; OSError where no file can be opened any more."""
        fd = self.spare.pop() if self.spare else os.open(f"/proc/self/fd/{self.fd}", os.O_RDONLY | os.O_CLOEXEC)
        if not lock(fd, slot, fcntl.F_RDLCK):
            self.spare.append(fd)
            raise Reused
        lease = _Lease(self, slot, fd)
        if GENERATION.unpack_from(self.map, slot)[0] != generation:
            raise Reused
        return np.asarray(lease)


def _close_all(fd: int, spare: list[int]) -> None:
    for one in (fd, *spare):
        os.close(one)


def in_shared_memory(array: Array) -> bool:
    """Whether an array of a received message lies in its writer's memory: nobody copied it."""
    base: object = array
    while isinstance(base, np.ndarray):
        base = base.base
    return isinstance(base, _Lease)


def _path(address: PoolAddress) -> str:
    return f"/proc/{address.pid}/fd/{address.fd}"


def _is_pool(address: PoolAddress) -> bool:
    try:
        return str(Path(_path(address)).readlink()).startswith(f"/memfd:{NAME} ")
    except OSError:
        return False


class Leases:
    """Opens the pools of any number of writers, and leases their slots."""

    def __init__(self) -> None:
        self._mappings: OrderedDict[PoolAddress, _Mapping] = OrderedDict()

    def reachable(self, address: PoolAddress) -> bool:
        """Whether this process can read that pool."""
        try:
            self._mapping(address)
        except Unreachable:
            return False
        return True

    def lease(self, address: PoolAddress, slot: int, generation: int) -> Bytes:
        """A read-only view (bytes) from the start of `slot` to the pool's end.

        The writer leaves the slot alone while any view of it lives. Raises Unreachable; Reused; ValueError
        for a slot outside the pool; OSError where this process may open no more files.
        """
        mapping = self._mapping(address)
        if slot < PAGE or slot % PAGE or slot + DATA > mapping.size:
            raise ValueError("bad slot")
        return mapping.lease(slot, generation)

    def sweep(self) -> None:
        """Let go of the pools of writers that are gone, so that their memory is freed."""
        for address in [address for address, mapping in self._mappings.items() if not mapping.owned(address)]:
            del self._mappings[address]

    def close(self) -> None:
        """Let go of every pool; views that are still held stay valid."""
        self._mappings.clear()

    def _mapping(self, address: PoolAddress) -> _Mapping:
        mapping = self._mappings.get(address)
        if mapping is None:
            if not supported():
                raise Unreachable
            self.sweep()
            mapping = self._mappings[address] = _Mapping(address)
            if len(self._mappings) > MAX_POOLS:
                self._mappings.popitem(last=False)
        self._mappings.move_to_end(address)
        return mapping
