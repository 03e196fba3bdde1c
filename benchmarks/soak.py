"""What the soaks share: how big processes are, the series of looks at them, and whether it is flat.

Memory is what a process has for itself or shares with its forks (`RssAnon`): pages of files and Postgres's shared
buffers come and go with the page cache.
"""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

TASKS = 500
"""Attempts of one run."""

WARM_UP = 0.2
"""So much of the series passes before it is compared: caches and plans fill to their bounds."""


@dataclass(frozen=True, slots=True)
class Size:
    """How big one part is: megabytes and descriptors on average over its processes, and how many there are."""

    megabytes: float
    descriptors: float
    processes: int

    def __str__(self) -> str:
        return f"{self.megabytes:8.3f} MB {self.descriptors:5.1f} fds x{self.processes:<3}"


@dataclass(frozen=True, slots=True)
class Allowed:
    """By how much a part may have grown at the end: allocators grow in steps, descriptors come with what runs."""

    megabytes: float
    descriptors: float


Look = dict[str, Size]


def size(found: Iterable[psutil.Process]) -> Size:
    """Measure processes; one that ends meanwhile does not count."""
    sizes = []
    for process in found:
        try:
            sizes.append((_anonymous(process.pid), process.num_fds()))
        except (psutil.Error, OSError, ValueError):
            continue
    if not sizes:
        return Size(0.0, 0.0, 0)
    return Size(statistics.fmean(each for each, _ in sizes), statistics.fmean(each for _, each in sizes), len(sizes))


def _anonymous(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("RssAnon:")[2].split(None, 1)[0]) * 1024 / 1e6


def show(attempts: int, seconds: float, look: Look) -> None:
    """Print one row of the table."""
    parts = "   ".join(f"{part} {size}" for part, size in look.items())
    print(f"{attempts:>8} attempts {seconds:>7.0f} s   {parts}", flush=True)


def verdict(series: Sequence[Look], allowed: dict[str, Allowed], attempts_per_look: int) -> bool:
    """Print what each part became bigger by, from the first quarter after the warm-up to the last; tell if it is flat.

    Args:
        series: the looks, at even distances.
        allowed: by part; parts that are not named are not judged.
        attempts_per_look: that distance.
    """
    rest = series[int(len(series) * WARM_UP) :]
    quarter = max(1, len(rest) // 4)
    first, last = rest[:quarter], rest[-quarter:]
    thousands = max(1, len(rest) - quarter) * attempts_per_look / 1000
    print(f"from the first to the last quarter after the warm-up, {thousands * 1000:.0f} attempts apart:")
    is_flat = True
    for part, limit in allowed.items():
        before, after = _middle(first, part), _middle(last, part)
        grown, more = after.megabytes - before.megabytes, after.descriptors - before.descriptors
        is_fine = grown <= limit.megabytes and more <= limit.descriptors
        is_flat &= is_fine
        print(
            f"  {part:<20} {before.megabytes:8.3f} -> {after.megabytes:8.3f} MB"
            f" ({1000 * grown / thousands:+.1f} kB per 1,000 attempts)"
            f"   {before.descriptors:.1f} -> {after.descriptors:.1f} fds"
            f"   {'flat' if is_fine else f'GREW, allowed are {limit.megabytes} MB and {limit.descriptors} fds'}"
        )
    return is_flat


def _middle(looks: Sequence[Look], part: str) -> Size:
    """The median of a part over some looks, of those in which it was there."""
    sizes = [look[part] for look in looks if look[part].processes] or [Size(0.0, 0.0, 0)]
    return Size(
        statistics.median(each.megabytes for each in sizes),
        statistics.median(each.descriptors for each in sizes),
        sizes[-1].processes,
    )
