"""One task without a wait: always the same request."""

from locust import constant, task
from steady import METHOD, PATH
from subject import BODY, HEADERS, Base


class BenchUser(Base):  # type: ignore[misc]
    """Posts a state update, or gets a large body, as fast as it can."""

    wait_time = constant(0)

    @task
    def request(self) -> None:
        """The only task."""
        if METHOD == "POST":
            self.client.post(PATH, json=BODY, headers=HEADERS)
        else:
            self.client.get(PATH, headers=HEADERS)
