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
