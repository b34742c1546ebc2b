"""A pytest plug-in that puts our classes in the place of Locust's, for pytest style locustfiles.

Wanted by name only, never by being installed::

    pytest -p opscore_fast.pytest_plugin --host http://... test_shop.py

or ``addopts = "-p opscore_fast.pytest_plugin"`` among pytest's settings. Locust's own plug-in makes
its fixtures session and fastsession of our classes then, and whatever the tests and conftest.py
import from locust is ours. Importing this module does the same; it has to be before that.
"""

from __future__ import annotations

from opscore_fast.replace import replace_classes

_said = replace_classes()  # now: conftest.py is imported before the first hook of every plug-in


def pytest_report_header() -> str:
    """Return the line that tells of the replacement."""
    return f"opscore_fast: {_said}"
