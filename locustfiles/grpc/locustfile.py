"""Unary gRPC calls over HTTP/2: each asks the server how it is (grpc.health.v1.Health/Check).

    locust -f locustfiles/grpc/locustfile.py -H http://127.0.0.1:50051

A gRPC call is a POST whose body is a protobuf message behind five bytes (not compressed, its
length). Whether it succeeded is said behind the response's body, in the trailer grpc-status.
GRPC_SERVICE names the service to ask for; without it the server speaks for all of them.
"""

from __future__ import annotations

import os

from locust import constant, task

from opscore_fast import FastHttpUser

SERVING = b"\x08\x01"
"""A HealthCheckResponse whose status is SERVING, in protobuf's encoding."""


def health_check_request(service: str) -> bytes:
    """A HealthCheckRequest, which has one field; protobuf's own classes do it for any message
    (``HealthCheckRequest(service=service).SerializeToString()``)."""
    name = service.encode()
    return b"\x0a" + bytes([len(name)]) + name if name else b""


def framed(message: bytes) -> bytes:
    return b"\0" + len(message).to_bytes(4, "big") + message


class GrpcUser(FastHttpUser):
    http2 = "prior-knowledge"
    wait_time = constant(0)
    default_headers = {"Content-Type": "application/grpc", "TE": "trailers"}  # noqa: RUF012

    body = framed(health_check_request(os.environ.get("GRPC_SERVICE", "")))

    @task
    def check(self) -> None:
        path = "/grpc.health.v1.Health/Check"
        with self.client.post(path, data=self.body, catch_response=True) as response:
            if response.status_code != 200:
                return  # a failure already
            # a call without a response message has nothing but headers, and the status is there
            said = dict(response.trailers) or response.headers
            if said.get("grpc-status") != "0":
                text = f"gRPC status {said.get('grpc-status')}: {said.get('grpc-message')}"
                response.failure(text)
            elif response.content[5:] != SERVING:
                response.failure("not serving")
