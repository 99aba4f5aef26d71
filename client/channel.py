"""How both clients connect."""

import json
from typing import Any

DEFAULT_TARGET = "localhost:50051"
DEFAULT_ADMIN_TARGET = "localhost:50052"

# gRPC itself retries calls that no worker has answered; both are safe to repeat. The worker tells
# how long to wait when it is full.
_SERVICE_CONFIG = {
    "methodConfig": [
        {
            "name": [
                {"service": "twinhead.v1.InferenceService", "method": "Infer"},
                {"service": "twinhead.v1.ModelService", "method": "GetModel"},
                {"service": "twinhead.v1.ModelAdminService", "method": "ListVersions"},
            ],
            "retryPolicy": {
                "maxAttempts": 5,
                "initialBackoff": "0.2s",
                "maxBackoff": "2s",
                "backoffMultiplier": 2,
                # CANCELLED is what becomes of a call that reaches a worker as it closes; a call
                # that this side cancels is not repeated.
                "retryableStatusCodes": ["UNAVAILABLE", "RESOURCE_EXHAUSTED", "CANCELLED"],
            },
        }
    ]
}

OPTIONS: list[tuple[str, Any]] = [
    ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
    # A call is retried only while its request is kept; this is the worker's default limit.
    ("grpc.per_rpc_retry_buffer_size", 16 * 1024 * 1024),
    # A worker may be set to larger requests than its default; then its answers are larger, too.
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
    # Look for a worker that went away more often than gRPC does by itself (1 s, growing to 2 min).
    ("grpc.initial_reconnect_backoff_ms", 250),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # Notice within a minute that the machine at the other end is gone.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    # Workers are near; an HTTP proxy from the environment would only be in the way.
    ("grpc.enable_http_proxy", 0),
]
