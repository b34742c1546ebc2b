"""An agent of Ops-Core as an ordinary HttpUser: all of it is Locust's, nothing opscore_fast's.

What the scenarios need of ../opscore's load_profile.py and stress.py is here as well.
"""

import os
import random
import sys
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from locust import HttpUser, task

sys.path.append(str(Path(__file__).resolve().parent.parent / "opscore"))

from load_profile import Profile, RampShape, choose
from stress import StressShape

__all__ = ["MixUser", "OpsCoreUser", "Profile", "RampShape", "StressShape", "choose"]

API_KEY = os.environ.get("OPSCORE_API_KEY") or "test-api-key"
STATES = ("idle", "active", "finished", "error")
STATE_NAME = "/v1/opscore/agent/[id]/state"
WORKFLOW_NAME = "/v1/opscore/agent/[id]/workflow"


class OpsCoreUser(HttpUser):
    """One agent: it registers, waits until its state can be read, then runs its tasks."""

    abstract = True
    host = "http://127.0.0.1:8000"

    def on_start(self) -> None:
        """Registers, and waits for the state."""
        self.agent_id = f"agent-{uuid.uuid4()}"
        self.client.headers = {"Content-Type": "application/json", "Accept": "application/json"}
        while not self.register():
            time.sleep(5)
        self.client.headers["Authorization"] = f"Bearer {API_KEY}"
        self.wait_for_state()

    def register(self) -> bool:
        """Tells Ops-Core of this agent; True if it took it."""
        registration = {
            "event_type": "REGISTER",
            "agent_details": {
                "agentId": self.agent_id,
                "agentName": f"Load test agent {random.randrange(1000)}",
                "version": "1.0.0",
                "capabilities": ["load_test"],
                "contactEndpoint": f"http://{self.agent_id}.invalid/",
                "metadata": {"started": datetime.now(UTC).isoformat()},
            },
        }
        with self.client.post(
            "/v1/opscore/internal/agent/notify", json=registration, catch_response=True
        ) as response:
            if response.status_code == 200 and response.json()["status"] == "success":
                response.success()
                return True
            response.failure(self.what_failed("register agent", response))
            return False

    def wait_for_state(self) -> None:
        """Asks for the state until there is one."""
        for attempts_left in reversed(range(20)):
            with self.client.get(
                f"/v1/opscore/agent/{self.agent_id}/state", name=STATE_NAME, catch_response=True
            ) as response:
                if response.status_code == 404 and attempts_left:
                    response.success()  # none yet
                elif response.status_code == 200 and "state" in response.json():
                    response.success()
                    return
                else:
                    response.failure(self.what_failed("get state", response))
                    return
            time.sleep(0.5)

    def update_state(self) -> None:
        """Sends a state update."""
        update = {
            "agentId": self.agent_id,
            "timestamp": datetime.now(UTC).isoformat(),
            "state": random.choice(STATES),
            "details": {"progress": random.random(), "step": random.randint(1, 100)},
        }
        with self.client.post(
            f"/v1/opscore/agent/{self.agent_id}/state",
            json=update,
            name=STATE_NAME,
            catch_response=True,
        ) as response:
            if response.status_code == 202:
                response.success()
            else:
                response.failure(self.what_failed("update state", response))

    def read_state(self) -> None:
        """Reads the state back."""
        with self.client.get(
            f"/v1/opscore/agent/{self.agent_id}/state", name=STATE_NAME, catch_response=True
        ) as response:
            if response.status_code != 200:
                response.failure(self.what_failed("get state", response))
            elif response.json().get("agentId") != self.agent_id:
                response.failure("State of another agent")
            else:
                response.success()

    def start_workflow(self) -> None:
        """Starts a workflow that the request brings along."""
        workflow = {
            "workflowDefinition": {
                "id": f"workflow-{uuid.uuid4()}",
                "name": "Load test workflow",
                "version": "1.0",
                "tasks": [{"taskId": "step-1", "taskDefinitionId": "echo"}],
            },
            "initialPayload": {"requested": datetime.now(UTC).isoformat()},
        }
        with self.client.post(
            f"/v1/opscore/agent/{self.agent_id}/workflow",
            json=workflow,
            name=WORKFLOW_NAME,
            catch_response=True,
        ) as response:
            if response.status_code != 202:
                response.failure(self.what_failed("start workflow", response))
            elif "sessionId" not in response.json():
                response.failure(f"No session in {response.text}")
            else:
                response.success()

    def what_failed(self, what: str, response: Any) -> str:
        """The failure's text, the same for all agents."""
        text = (response.text or "").replace(self.agent_id, "[id]")
        return f"Failed to {what}: {response.status_code} {text}".rstrip()


class MixUser(OpsCoreUser):
    """Does what an agent does in a day's work."""

    abstract = True

    @task(16)
    def send_update(self) -> None:
        """80 %."""
        self.update_state()

    @task(3)
    def ask_for_state(self) -> None:
        """15 %."""
        self.read_state()

    @task(1)
    def trigger(self) -> None:
        """5 %."""
        self.start_workflow()
