"""Workers of a Ray cluster: one that runs already, or one on this machine that ends with the run."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import shutil
import socket
import tempfile
import time
from pathlib import Path
from typing import Any

from fusion_pipeline.fleet.engine import Finished, told
from fusion_pipeline.fleet.job import FleetError, Order, carry_out

STORE_BYTES = 80 << 20  # Ray's least is 75 MiB; results are small, and rows go to files
RAY_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is reported to anybody
    "RAY_DISABLE_IMPORT_WARNING": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS": "0",
}
# Only this process and its workers may talk to what it starts; without these Ray writes a token into the home folder.
LOCAL_SETTINGS = {"RAY_AUTH_TOKEN": secrets.token_hex(32)}
REACH_S = 5.0
FOLDER = "fr"  # short: the path of a Unix socket in it may have 107 bytes


class RayEngine:
    """`slots` attempts at a time, each in a worker process of one core. Without an address Ray is started here, on
    loopback, without its dashboard, and stopped by `close`.
    """

    def __init__(self, slots: int, address: str = "", limit_s: float = 0.0) -> None:
        """Raises FleetError where the cluster cannot be reached."""
        for name, value in (RAY_SETTINGS if address else {**RAY_SETTINGS, **LOCAL_SETTINGS}).items():
            os.environ.setdefault(name, value)
        if address:
            _refuse_unreachable(address)
        import ray

        self.slots, self._limit_s, self._ray = slots, limit_s, ray
        self._running: dict[Any, tuple[Order, float]] = {}
        self._folder = ""
        try:
            if address:
                ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
            else:
                _sweep()
                self._folder = tempfile.mkdtemp(prefix=f"{FOLDER}{os.getpid()}-")
                ray.init(
                    num_cpus=slots, include_dashboard=False, _node_ip_address="127.0.0.1", _temp_dir=self._folder,
                    object_store_memory=STORE_BYTES, log_to_driver=False, logging_level=logging.ERROR,
                )  # fmt: skip
        except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
            self._remove_folder()
            where = f"the Ray cluster at {address}" if address else "Ray on this machine"
            said = " ".join(str(error).split())[:200]
            more = "check --address, and set RAY_AUTH_MODE=token where the cluster wants a token" if address else ""
            raise FleetError(f"{where} cannot be used: {said}; {more or 'use --engine local'}") from error
        # Ray must not try again by itself: the run counts attempts.
        self._carry_out = ray.remote(num_cpus=1, max_retries=0)(carry_out)

    def submit(self, order: Order) -> None:
        """Send it to the cluster."""
        self._running[self._carry_out.remote(order)] = (order, time.monotonic())

    def wait(self, timeout_s: float) -> list[Finished]:
        """What has ended, also with the worker or its machine."""
        if not self._running:
            return []
        ready, _ = self._ray.wait(list(self._running), num_returns=1, timeout=timeout_s)
        done = [self._ended(reference) for reference in ready]
        for reference, (_, began) in list(self._running.items()):
            if self._limit_s and time.monotonic() - began >= self._limit_s:
                self._ray.cancel(reference, force=True)
                order, began = self._running.pop(reference)
                why = f"took longer than {self._limit_s:g} s"
                done.append(Finished(order, time.monotonic() - began, None, why, why))
        return done

    def close(self) -> None:
        """Cancel what runs; end Ray where it was started here."""
        for reference in self._running:
            with contextlib.suppress(Exception):  # it may end as we look
                self._ray.cancel(reference, force=True)
        self._running.clear()
        self._ray.shutdown()
        self._remove_folder()

    def _ended(self, reference: Any) -> Finished:
        order, began = self._running.pop(reference)
        seconds = time.monotonic() - began
        try:
            return Finished(order, seconds, self._ray.get(reference))
        except self._ray.exceptions.RayTaskError as error:  # the job's own error
            cause = error.cause if isinstance(error.cause, BaseException) else error
            return Finished(order, seconds, None, told(cause)[0], str(error))
        except self._ray.exceptions.RayError as error:
            why = f"the worker was lost: {type(error).__name__}"
            return Finished(order, seconds, None, why, str(error))

    def _remove_folder(self) -> None:
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = ""


def _refuse_unreachable(address: str) -> None:
    """Ray itself would try for minutes. Raises FleetError."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not host or not port.isdigit():
        return  # a name such as "auto", which Ray looks up
    try:
        socket.create_connection((host, int(port)), REACH_S).close()
    except (OSError, OverflowError) as error:
        said = getattr(error, "strerror", None) or str(error)
        raise FleetError(f"nothing answers at {address} ({said}); check --address, or use --engine local") from None


def _sweep() -> None:
    """Delete what killed runs have left."""
    for folder in Path(tempfile.gettempdir()).glob(f"{FOLDER}[0-9]*-*"):
        owner = folder.name.removeprefix(FOLDER).partition("-")[0]
        if owner.isdigit() and folder.stat().st_uid == os.getuid() and not Path(f"/proc/{owner}").exists():
            shutil.rmtree(folder, ignore_errors=True)
