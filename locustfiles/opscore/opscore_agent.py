"""An agent of Ops-Core as a Locust user: its registration, its requests and how they are judged."""

import os
import random
import time
import uuid
from datetime import UTC, datetime
from typing import Any

import gevent

from opscore_fast import FastHttpUser

NOTIFY = "/v1/opscore/internal/agent/notify"
STATE_NAME = "/v1/opscore/agent/[id]/state"
"""The name under which the statistics keep the state requests of all agents."""

STATES = ("idle", "active", "finished", "error")
STATE_WAIT_S = 10
"""Seconds that an agent waits for its state after its registration."""


class OpsCoreAgent(FastHttpUser):
    """One agent: it registers, waits until its state can be read, then runs its tasks.

    The key comes from `OPSCORE_API_KEY`, the host from Locust (`--host` or `LOCUST_HOST`).
    """

    abstract = True
    host = "http://127.0.0.1:8000"
    default_headers = {  # noqa: RUF012 - declared so by Locust
        "Authorization": f"Bearer {os.environ.get('OPSCORE_API_KEY') or 'test-api-key'}"
    }

    def on_start(self) -> None:
        """Registers, after each failure again, and waits until the state can be read."""
        self.agent_id = f"agent-{uuid.uuid4()}"
        self.state_path = f"/v1/opscore/agent/{self.agent_id}/state"
        while not self.register():
            self.wait()
        self.wait_for_state()

    def register(self) -> bool:
        """Tells Ops-Core of this agent; True if it took it."""
        registration = {
            "event_type": "REGISTER",
            "agent_details": {
                "agentId": self.agent_id,
                "agentName": "Simulated agent",
                "version": "1.0",
                "capabilities": ["simulation"],
                "contactEndpoint": f"http://{self.agent_id}.invalid/",
                "metadata": {"simulated": True},
            },
        }
        with self.client.post(NOTIFY, json=registration, catch_response=True) as response:
            return self.judge(response, 200, b'"success"')

    def wait_for_state(self) -> None:
        """Reads the state until there is one. That there is none yet is a failure only at last."""
        deadline = time.monotonic() + STATE_WAIT_S
        while True:
            with self.client.get(self.state_path, name=STATE_NAME, catch_response=True) as response:
                no_state_yet = response.status_code == 404 and "No state found" in (
                    response.text or ""
                )
                if not no_state_yet or time.monotonic() >= deadline:
                    self.judge(response, 200, b'"state"')
                    return
                response.success()
            gevent.sleep(0.5)

    def post_state(self) -> None:
        """Sends a state update."""
        update = {
            "agentId": self.agent_id,
            "timestamp": datetime.now(UTC).isoformat(),
            "state": random.choice(STATES),
            "details": {"simulated": True, "queue": random.randrange(100)},
        }
        with self.client.post(
            self.state_path, json=update, name=STATE_NAME, catch_response=True
        ) as response:
            self.judge(response, 202, b'"success"')

    def judge(self, response: Any, status: int, content: bytes) -> bool:
        """Marks a response: a success has this `status` and this `content` in its body.

        A request without an answer is left to Locust, which knows what happened.
        """
        good = response.status_code == status and content in (response.content or b"")
        if good:
            response.success()
        elif response.status_code >= 400:
            response.failure(f"{response.status_code}: {self._reason(response)}")
        elif response.status_code and not getattr(response, "error", None):
            response.failure(f"{response.status_code}: not the expected answer")
        return good

    def _reason(self, response: Any) -> str:
        """Why Ops-Core refused a request, in words that are the same for all agents."""
        try:
            detail = response.json()["detail"]
            if isinstance(detail, list):
                detail = "; ".join(
                    f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in detail
                )
        except (ValueError, LookupError, TypeError):
            detail = (response.text or "")[:100]
        return str(detail).replace(self.agent_id, "[id]")
