"""Prometheus metrics of one API process: requests by route, connections of the pool."""

import time
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from leoflow.db.pool import Pool

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class _PoolCollector(Collector):
    """The pool's own statistics, read at scrape time."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the sizes of the pool."""
        names = {
            "pool_size": ("leoflow_database_connections", "Connections of this process to Postgres"),
            "pool_available": ("leoflow_database_connections_idle", "Connections nobody is using"),
            "requests_waiting": ("leoflow_database_waiting_requests", "Requests waiting for a connection"),
        }
        statistics = self._pool.get_stats()
        for key, (name, text) in names.items():
            yield GaugeMetricFamily(name, text, value=statistics.get(key, 0))


class ApiMetrics:
    """The registry of one application; passed to the middleware and the `/metrics` route."""

    def __init__(self, pool: Pool) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "leoflow_http_requests",
            "Requests answered",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "leoflow_http_request_duration_seconds",
            "Time to answer",
            ["method", "route"],
            registry=self.registry,
        )
        self.registry.register(_PoolCollector(pool))

    def render(self) -> bytes:
        """Write the exposition format."""
        return generate_latest(self.registry)


class MeasuredRequests:
    """ASGI middleware that counts and times requests by route template, never by raw path."""

    def __init__(self, app: ASGIApp, metrics: ApiMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on and measure."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 500

        async def watching(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watching)
        finally:
            route = getattr(scope.get("route"), "path", "static")
            method = scope["method"] if scope["method"] in _METHODS else "other"
            self._metrics.requests.labels(method, route, str(status)).inc()
            self._metrics.seconds.labels(method, route).observe(time.perf_counter() - began)


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
