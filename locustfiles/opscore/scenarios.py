"""The scenarios: how many users for how long, and the wait between two tasks of a user.

The full profiles are those of the team's tests; see load_profile.py for what scales them.
"""

from load_profile import Profile, choose

SCENARIO_0 = choose(
    full=Profile(start_users=1, peak_users=5, ramp=60, duration=300, wait=(1, 2)),
    quick=Profile(start_users=1, peak_users=5, ramp=2, duration=30, wait=(1, 2)),
)
"""Is everything wired up? A few agents update their state."""

SCENARIO_1 = choose(
    full=Profile(start_users=10, peak_users=500, ramp=300, duration=1200, wait=(5, 10)),
    quick=Profile(start_users=10, peak_users=500, ramp=5, duration=30, wait=(0.5, 1)),
)
"""High state-update load."""

SCENARIO_2 = choose(
    full=Profile(start_users=10, peak_users=100, ramp=180, duration=1080, wait=(30, 60)),
    quick=Profile(start_users=5, peak_users=20, ramp=5, duration=30, wait=(3, 6)),
)
"""Workflow initiation."""

SCENARIO_3 = choose(
    full=Profile(start_users=20, peak_users=300, ramp=300, duration=2100, wait=(1, 5)),
    quick=Profile(start_users=10, peak_users=50, ramp=5, duration=30, wait=(0.5, 1)),
)
"""Realistic mix."""

SCENARIO_4 = choose(
    full=Profile(start_users=300, peak_users=3000, ramp=16200, duration=16500, wait=(1, 5)),
    quick=Profile(start_users=50, peak_users=100, ramp=25, duration=30, wait=(0.5, 1)),
)
"""Stress: the users of `full` are 50 more every 5 min, those of `quick` 10 more every 5 s."""
