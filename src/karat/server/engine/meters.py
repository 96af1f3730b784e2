"""What /metrics says of drawing."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
REQUESTS = (1, 2, 4, 8, 16, 32, 64)


class Meters:
    """By run, of which there are as many as the owner serves; by caller, who are as many as he made keys for."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.waiting = Gauge("karat_waiting", "Requests that wait to be drawn.", registry=registry)
        self.running = Gauge("karat_running", "Requests that are being drawn.", registry=registry)
        self.runs = Gauge("karat_loaded_runs", "Runs that are loaded.", registry=registry)
        self.memory = Gauge("karat_loaded_bytes", "Memory that loaded runs may take.", registry=registry)
        self.queue = Histogram(
            "karat_queue_seconds", "Seconds from arriving to being drawn.", ("run",), buckets=SECONDS, registry=registry
        )
        self.latency = Histogram(
            "karat_draw_seconds", "Seconds from arriving to being made.", ("run",), buckets=SECONDS, registry=registry
        )
        self.together = Histogram(
            "karat_batch_requests", "Requests that were drawn together.", ("run",), buckets=REQUESTS, registry=registry
        )
        self.items = Counter("karat_items", "Records made.", ("run", "caller"), registry=registry)
        self.dropped = Counter("karat_dropped", "Records that a gate dropped.", ("run",), registry=registry)
        self.rejected = Counter("karat_rejected", "Requests that were not drawn.", ("why",), registry=registry)
        self.busy = Counter("karat_busy_seconds", "Seconds of drawing.", ("run",), registry=registry)
        self.money = Counter(
            "karat_money", "What drawing cost, at the declared prices.", ("run", "currency"), registry=registry
        )
