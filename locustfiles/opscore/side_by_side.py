"""Drop-in users and native agents side by side in one run.

The agents make the load: scenario 3's mix, recorded once and run by native threads. Two users in
Python watch the service meanwhile as they would without load: does a state come back as it was
written? Both have names of their own, so that the reports show what each of them saw.

A native agent is for tasks that are made of requests, values and checks: nearly all the load, at a
fraction of the cost. A drop-in user is for a task that needs Python for every request, such as the
loop and the date that is parsed below, and for signing, files, other clients, a debugger. Its
requests cost the load generator several times as much, which does not matter where they are few.
"""

import random
import uuid
from datetime import UTC, datetime

from load_profile import RampShape
from locust import between, constant, task
from opscore_agent import MIX, STATES, OpsCoreAgent
from scenarios import SCENARIO_3

from opscore_fast import AgentUser, HttpUser


class LoadAgent(OpsCoreAgent, AgentUser):
    """Does what an agent does in a day's work, natively."""

    wait_time = between(*SCENARIO_3.wait)
    tasks = MIX


class Watcher(OpsCoreAgent, HttpUser):
    """Writes a state and compares what it reads with what it has written, in Python."""

    fixed_count = 2
    wait_time = constant(1)
    notify_name = "watcher: register"
    state_name = "watcher: read state"

    @task
    def write_and_read(self) -> None:
        """One state, written and read back."""
        path = f"/v1/opscore/agent/{self.agent_id}/state"
        written = {
            "agentId": self.agent_id,
            "timestamp": datetime.now(UTC).isoformat(),
            "state": random.choice(STATES),
            "details": {f"reading-{n}": uuid.uuid4().hex for n in range(random.randrange(1, 9))},
        }
        with self.client.post(
            path, json=written, name="watcher: write state", catch_response=True
        ) as response:
            if not self.judge(response, 202, "status", "success"):
                return
        with self.client.get(path, name=self.state_name, catch_response=True) as response:
            if not self.judge(response, 200, "agentId", self.agent_id):
                return
            read = response.json()
            read["timestamp"] = datetime.fromisoformat(read["timestamp"]).isoformat()
            wrong = [key for key, value in written.items() if read.get(key) != value]
            if wrong:
                response.failure(f"{', '.join(wrong)} came back changed")


class SideBySide(RampShape):
    """The users of scenario 3 over time, the two watchers among them."""

    profile = SCENARIO_3
