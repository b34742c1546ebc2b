"""``python -m opscore_fast``: Locust with its FastHttpUser replaced, or the stand-in server.

``python -m opscore_fast standin ...`` serves the Ops-Core API; anything else is a command line of
locust's, which runs with locustfiles that were not touched.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line in sys.argv."""
    if sys.argv[1:2] == ["standin"]:
        from opscore_fast.standin.cli import main as standin

        sys.exit(standin(sys.argv[2:]))
    from opscore_fast.replace import replace_users

    print(f"opscore_fast: {replace_users()}", file=sys.stderr)
    from locust.main import main as locust

    locust()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
