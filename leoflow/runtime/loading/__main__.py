"""`bootstrap.py loading <request fd> <result fd>`: JSON in on one descriptor, JSON out on another.

The DAG file's own output goes to stdout and stderr and can never mix with the result.
"""

import json
import os
import sys


def main() -> None:
    """Answer one request."""
    request_fd, result_fd = int(sys.argv[1]), int(sys.argv[2])
    sys.argv = [sys.argv[0]]
    os.set_inheritable(result_fd, False)
    with os.fdopen(request_fd, "rb") as stream:
        request = json.load(stream)
    if memory := request.get("memory_bytes"):
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    import airflow.sdk

    from leoflow.runtime.loading import load

    # Ready: the time limit of the DAG file starts now. White space before a JSON document means nothing.
    _ = airflow.sdk.DAG
    os.write(result_fd, b"\n")
    document = json.dumps(load(request)).encode()
    with os.fdopen(result_fd, "wb") as stream:
        stream.write(document)
    sys.stdout.flush()
    sys.stderr.flush()
    # Threads and exit handlers of user code must not keep or change a process whose answer is given.
    os._exit(0)


if __name__ == "__main__":
    main()
