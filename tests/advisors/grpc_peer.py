"""A gRPC server on loopback with the standard health service, for the advisor to ask.

usage: grpc_peer.py plain|tls|bare FOLDER

`tls` takes `cert.pem` and `key.pem` from the folder; `bare` has no health service.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
from grpc_health.v1.health import HealthServicer
from grpc_health.v1.health_pb2 import HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import add_HealthServicer_to_server

PLACE = "127.0.0.1:50051"


def serve(kind: str, folder: Path) -> None:
    """Serve until the process is ended: the whole is well, `shop.Stock` is not."""
    server = grpc.server(ThreadPoolExecutor(2))
    if kind != "bare":
        health = HealthServicer()
        health.set("", HealthCheckResponse.SERVING)
        health.set("shop.Orders", HealthCheckResponse.SERVING)
        health.set("shop.Stock", HealthCheckResponse.NOT_SERVING)
        add_HealthServicer_to_server(health, server)
    if kind == "tls":
        pair = (folder / "key.pem").read_bytes(), (folder / "cert.pem").read_bytes()
        server.add_secure_port(PLACE, grpc.ssl_server_credentials([pair]))
    else:
        server.add_insecure_port(PLACE)
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    serve(sys.argv[1], Path(sys.argv[2]))
