"""What every benchmark shares: options, repeats, medians, the machine, and how a report is printed."""

import json
import os
import platform
import statistics
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Options:
    """How often to repeat, whether to measure the peer in the same run, and where scratch files go."""

    repeat: int
    peer: bool
    scratch: Path


@dataclass(frozen=True, slots=True)
class Measure:
    """One figure over several repeats: its name, unit and samples."""

    name: str
    unit: str
    samples: tuple[float, ...]
    target: str = ""

    @property
    def median(self) -> float:
        """The middle sample: one slow repeat on a noisy machine does not move it."""
        return statistics.median(self.samples)


@dataclass(slots=True)
class Report:
    """The figures of one benchmark and a sentence on what bounds them."""

    title: str
    bound_by: str
    measures: list[Measure] = field(default_factory=list)

    def add(self, name: str, unit: str, samples: Iterable[float], target: str = "") -> Measure:
        """Record one figure; an empty sample list is an error of the benchmark."""
        measure = Measure(name, unit, tuple(samples), target)
        if not measure.samples:
            raise ValueError(f"benchmark measured nothing for {name!r}")
        self.measures.append(measure)
        return measure


def percentile(samples: Iterable[float], fraction: float) -> float:
    """The nearest-rank percentile, `fraction` from 0 to 1."""
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, int(fraction * len(ordered)))]


def machine() -> str:
    """The machine in one line: processor, cores, memory, system, Python."""
    cpu = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            cpu = line.partition(":")[2].strip()
            break
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return (
        f"{cpu}, {os.cpu_count()} cores, {pages:.0f} GiB, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}"
    )


def show(report: Report) -> None:
    """Print the table for a reader on standard error and one JSON document on standard output."""
    err = sys.stderr
    print(f"\n{report.title}\n{machine()}", file=err)
    width = max(len(measure.name) for measure in report.measures)
    for measure in report.measures:
        low, high = min(measure.samples), max(measure.samples)
        target = f"   target {measure.target}" if measure.target else ""
        print(
            f"  {measure.name:<{width}}  {measure.median:>10.2f} {measure.unit:<10}"
            f" (min {low:.2f}, max {high:.2f}, n={len(measure.samples)}){target}",
            file=err,
        )
    print(f"  bound by: {report.bound_by}", file=err)
    document = {
        "title": report.title,
        "machine": machine(),
        "bound_by": report.bound_by,
        "measures": [
            {
                "name": m.name,
                "unit": m.unit,
                "median": m.median,
                "min": min(m.samples),
                "max": max(m.samples),
                "n": len(m.samples),
                "target": m.target,
            }
            for m in report.measures
        ],
    }
    print(json.dumps(document, indent=2))
