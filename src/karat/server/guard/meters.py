"""What /metrics says of requests. The engine's counters are on the same registry."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)  # seconds


class Meters:
    """Counters of requests by route, whose templates are few; never by what a client chooses."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.running = Gauge("karat_http_requests_running", "Requests being answered.", registry=registry)
        self.requests = Counter(
            "karat_http_requests", "Requests answered.", ("method", "route", "status"), registry=registry
        )
        self.seconds = Histogram(
            "karat_http_request_seconds",
            "Seconds to the end of an answer.",
            ("route",),
            buckets=BUCKETS,
            registry=registry,
        )
        self.shed = Counter(
            "karat_http_requests_shed", "Of these, refused for want of room before they were read.", registry=registry
        )
        self._by_route: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Counts a request: of those there are as few kinds as routes, methods and statuses."""
        known = self._by_route.get((method, route, status))
        if known is None:
            known = self.requests.labels(method, route, status), self.seconds.labels(route)
            self._by_route[method, route, status] = known
        known[0].inc()
        known[1].observe(seconds)

    def refused(self, route: str, count: int) -> None:
        """Counts requests that were refused for want of room before they were read; how long that took is not observed."""
        self.requests.labels("POST", route, 429).inc(count)
        self.shed.inc(count)
