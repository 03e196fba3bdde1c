"""The whole product in one process on one machine: embedded Postgres, API, scheduler, worker, hot reload.

A composition root: may import everything but `cli`; only `cli` imports it.
"""
