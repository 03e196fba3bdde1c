"""An attempt in an interpreter of its own.

Usage: `bootstrap.py spawned <bytes of memory> <bytes of log>` (0 is no limit), executed by
`leoflow.runtime.attempt.spawn`, which has put the attempt's channels, directory and variables in place.
"""

import sys
from typing import NoReturn

from leoflow.runtime import attempt, processes


def main() -> NoReturn:
    """Run the attempt."""
    memory_bytes, log_limit_bytes = map(int, sys.argv[1:3])
    sys.argv = sys.argv[:1]
    processes.hide_main()
    attempt.run_spawned(memory_bytes, log_limit_bytes)


if __name__ == "__main__":
    main()
