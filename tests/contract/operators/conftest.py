from tests.integration.worker.conftest import harness

__all__ = ["harness"]
