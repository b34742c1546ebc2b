"""x"""

from __future__ import annotations
from parity import HTTP, Scenario, Scenarios, Subject, assert_same, each_of
from parity_scenarios import COMMON


@each_of(*COMMON)
def test_same_as_locust(scenario: Scenario, listened: bool, subject: Subject) -> None:
    assert_same(HTTP, scenario, subject, listened)
