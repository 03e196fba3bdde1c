"""What makes a loaded project unsafe to fork, and what a forked child must renew."""

import os
import sys
import threading
from typing import Any

from leoflow.runtime import processes


def fork_hazards(threads_before: int, culprit: str = "importing the DAG file") -> list[str]:
    """Return why the process must not be forked now, one phrase per reason; an empty list means it may be.

    Args:
        threads_before: how many threads the process had before the project was imported.
        culprit: what was done since, as the phrases name it.
    """
    found = []
    names = sorted(thread.name for thread in threading.enumerate() if thread is not threading.main_thread())
    if names:
        found.append(f"{culprit} started threads ({', '.join(names)})")
    elif processes.thread_count() > threads_before:
        found.append(f"{culprit} started native threads")
    torch: Any = sys.modules.get("torch")
    if torch is not None and getattr(torch, "cuda", None) is not None and torch.cuda.is_initialized():
        found.append(f"{culprit} initialised CUDA")
    if "grpc._cython.cygrpc" in sys.modules:
        found.append(f"{culprit} loaded gRPC")
    return found


def renew_random_generators() -> None:
    """Give this child its own random numbers: NumPy and PyTorch would repeat the parent's in every attempt."""
    numpy: Any = sys.modules.get("numpy")
    if numpy is not None and "numpy.random" in sys.modules:
        numpy.random.seed(int.from_bytes(os.urandom(4), "big"))
    torch: Any = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "manual_seed"):
        torch.manual_seed(int.from_bytes(os.urandom(7), "big"))
