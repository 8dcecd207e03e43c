"""Where jobs run: processes of this machine, or a Ray cluster. Both hand out futures.

A job is a function at a module's top level with arguments that can be sent. Ray's machines must see the same folders at
the same paths (a shared disk), and have this package installed.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from media2face.runtime.errors import ConfigError


class LocalWorkers:
    """``jobs`` processes of this machine; a pool that a dying process broke is replaced."""

    def __init__(self, jobs: int) -> None:
        if jobs < 1:
            raise ConfigError(f"expected 1 or more jobs, got {jobs}")
        self.size = jobs
        self._pool = self._start()

    def _start(self) -> ProcessPoolExecutor:
        spawn = multiprocessing.get_context("spawn")  # the tracker's threads do not survive a fork
        return ProcessPoolExecutor(self.size, spawn, initializer=_quiet)

    def submit(self, function: Callable, *arguments: Any) -> Future:
        """A future of ``function(*arguments)``."""
        try:
            return self._pool.submit(function, *arguments)
        except BrokenProcessPool:
            self._pool = self._start()
            return self._pool.submit(function, *arguments)

    def share(self, value: Any) -> Any:
        """A handle by which jobs get ``value``, made for values that many jobs use."""
        return value

    @staticmethod
    def died(error: BaseException) -> bool:
        """Whether the process of a job died, rather than the job failing."""
        return isinstance(error, BrokenProcessPool)

    def close(self) -> None:
        """End the processes; jobs not begun are dropped."""
        self._pool.shutdown(wait=True, cancel_futures=True)


class RayWorkers:
    """A Ray cluster at ``address`` ("auto": the one this machine belongs to; "local": one of its own, here).

    Raises:
        ConfigError: if Ray is missing or there is no such cluster.
    """

    def __init__(self, address: str, jobs: int | None = None) -> None:
        try:
            import ray
        except ImportError as error:
            raise ConfigError(f"--ray needs the [ray] extra (pip install 'media2face[ray]'): {error}") from error
        self._ray = ray
        settings = {"num_cpus": jobs} if address == "local" and jobs else {}
        try:
            ray.init(address=address, log_to_driver=False, include_dashboard=False, **settings)
        except TypeError:
            ray.init(address=address, log_to_driver=False)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise ConfigError(f"no Ray cluster at {address!r} ({error}); start one with: ray start --head") from error
        self.size = max(1, int(ray.cluster_resources().get("CPU", 1)))
        self._functions: dict[Callable, Any] = {}

    def submit(self, function: Callable, *arguments: Any) -> Future:
        """A future of ``function(*arguments)`` somewhere in the cluster."""
        if function not in self._functions:
            self._functions[function] = self._ray.remote(num_cpus=1, max_retries=0)(function)
        return self._functions[function].remote(*arguments).future()

    def share(self, value: Any) -> Any:
        """The value in the cluster's object store; passed as an argument, a job gets the value itself."""
        return self._ray.put(value)

    def died(self, error: BaseException) -> bool:
        """Whether the machine or process of a job died, rather than the job failing."""
        return isinstance(error, (self._ray.exceptions.WorkerCrashedError, self._ray.exceptions.NodeDiedError))

    def close(self) -> None:
        """Leave the cluster."""
        self._ray.shutdown()


def _quiet() -> None:
    """One thread a process: the processes are the parallelism; MediaPipe says less."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("GLOG_minloglevel", "2")
