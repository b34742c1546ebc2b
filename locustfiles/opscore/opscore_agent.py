"""An agent of Ops-Core as a Locust user: its registration, its requests and how they are judged.

A scenario's user class is made of OpsCoreAgent and of the class that sends the requests:

    class Scenario1User(OpsCoreAgent, HttpUser):      # tasks run in Python
    class Scenario1Agent(OpsCoreAgent, AgentUser):    # tasks are recorded, and run natively
"""

import os
import random
import time
import uuid
from datetime import UTC, datetime
from typing import Any

import gevent
from locust import User

NOTIFY = "/v1/opscore/internal/agent/notify"
STATE_NAME = "/v1/opscore/agent/[id]/state"
WORKFLOW_NAME = "/v1/opscore/agent/[id]/workflow"

STATES = ("idle", "active", "finished", "error")
STATE_WAIT_S = 10
"""Seconds that an agent waits for its state after its registration."""


class OpsCoreAgent(User):
    """One agent: it registers, waits until its state can be read, then runs its tasks.

    The key comes from `OPSCORE_API_KEY`, the host from Locust (`--host` or `LOCUST_HOST`).
    """

    abstract = True
    host = "http://127.0.0.1:8000"
    client: Any  # of HttpUser and its like

    notify_name = NOTIFY
    state_name = STATE_NAME
    workflow_name = WORKFLOW_NAME
    """The names under which the statistics keep the requests of all agents."""

    def on_start(self) -> None:
        """Registers, after each failure again, and waits until the state can be read."""
        self.agent_id = f"agent-{uuid.uuid4()}"
        key = os.environ.get("OPSCORE_API_KEY") or "test-api-key"
        self.client.headers["Authorization"] = f"Bearer {key}"
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
        with self.client.post(
            NOTIFY, json=registration, name=self.notify_name, catch_response=True
        ) as response:
            return self.judge(response, 200, "status", "success")

    def wait_for_state(self) -> None:
        """Reads the state until there is one. That there is none yet is a failure only at last."""
        deadline = time.monotonic() + STATE_WAIT_S
        while True:
            with self.client.get(
                f"/v1/opscore/agent/{self.agent_id}/state",
                name=self.state_name,
                catch_response=True,
            ) as response:
                no_state_yet = response.status_code == 404 and "No state found" in response.text
                if not no_state_yet or time.monotonic() >= deadline:
                    self.judge(response, 200, "agentId", self.agent_id)
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
            f"/v1/opscore/agent/{self.agent_id}/state",
            json=update,
            name=self.state_name,
            catch_response=True,
        ) as response:
            self.judge(response, 202, "status", "success")

    def read_state(self) -> None:
        """Reads the state back."""
        with self.client.get(
            f"/v1/opscore/agent/{self.agent_id}/state", name=self.state_name, catch_response=True
        ) as response:
            self.judge(response, 200, "agentId", self.agent_id)

    def start_workflow(self) -> None:
        """Starts a workflow that the request brings along."""
        workflow_id = f"workflow-{uuid.uuid4()}"
        definition = {
            "id": workflow_id,
            "name": "Simulated workflow",
            "version": "1.0",
            "tasks": [{"taskId": "step-1", "taskDefinitionId": "echo"}],
        }
        payload = {"requested": datetime.now(UTC).isoformat()}
        with self.client.post(
            f"/v1/opscore/agent/{self.agent_id}/workflow",
            json={"workflowDefinition": definition, "initialPayload": payload},
            name=self.workflow_name,
            catch_response=True,
        ) as response:
            self.judge(response, 202, "workflowId", workflow_id)

    def judge(self, response: Any, status: int, key: str, value: str) -> bool:
        """Marks a response: a success has this `status`, and this `value` in its JSON.

        A request without an answer is left to Locust, which knows what happened.
        """
        if response.status_code == status:
            good = self.part_of(response, key) == value
            if good:
                response.success()
            else:
                response.failure(f"{status}: not the expected answer")
            return good
        if response.status_code:
            detail = self.part_of(response, "detail")
            # A list says what is wrong with the body that was sent.
            reason = detail if isinstance(detail, str) else response.text[:300]
            response.failure(f"{response.status_code}: {reason.replace(self.agent_id, '[id]')}")
        return False

    def part_of(self, response: Any, key: str) -> Any:
        """What a response's JSON has under `key`; None if it has none."""
        try:
            return response.json().get(key)
        except (ValueError, AttributeError):  # no JSON, or no object
            return None


UPDATES = [OpsCoreAgent.post_state]
WORKFLOWS = [OpsCoreAgent.start_workflow]
MIX = {OpsCoreAgent.post_state: 80, OpsCoreAgent.read_state: 15, OpsCoreAgent.start_workflow: 5}
"""What an agent does in a day's work, in percent."""
