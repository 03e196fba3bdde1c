"""An attempt in an interpreter of its own.

Usage: `bootstrap.py spawned <bytes of memory, 0 for no limit>`, executed by `leoflow.runtime.attempt.spawn`, which has
put the attempt's channels, directory and variables in place.
"""

import sys
from typing import NoReturn

from leoflow.runtime import attempt


def main() -> NoReturn:
    """Run the attempt."""
    memory_bytes = int(sys.argv[1])
    sys.argv = sys.argv[:1]
    attempt.run_spawned(memory_bytes)


if __name__ == "__main__":
    main()
