"""Every user registers an agent of its own and then updates its state, without a wait."""

import random
import uuid
from datetime import UTC, datetime

import steady  # noqa: F401, it measures
from locust import constant, task
from subject import HEADERS, Base


class BenchUser(Base):  # type: ignore[misc]
    """One agent; id, time and state differ from request to request."""

    wait_time = constant(0)

    def on_start(self) -> None:
        """Register the agent."""
        self.agent_id = f"agent-{uuid.uuid4()}"
        details = {
            "agentId": self.agent_id,
            "agentName": "bench",
            "version": "1.0",
            "contactEndpoint": "http://127.0.0.1:9",
            "capabilities": [],
            "metadata": {},
        }
        self.client.post(
            "/v1/opscore/internal/agent/notify",
            json={"event_type": "REGISTER", "agent_details": details},
        )

    @task
    def update(self) -> None:
        """The only task."""
        self.client.post(
            f"/v1/opscore/agent/{self.agent_id}/state",
            name="/v1/opscore/agent/[id]/state",
            headers=HEADERS,
            json={
                "agentId": self.agent_id,
                "timestamp": datetime.now(UTC).isoformat(),
                "state": random.choice(["idle", "active"]),
            },
        )
