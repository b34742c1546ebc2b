"""An in-memory stand-in for the Ops-Core API, for trying out and testing load tests.

`python -m opscore_fast standin` serves it. It needs the extra `opscore-fast[standin]` (msgspec and
uvicorn), and nothing in opscore_fast imports this package unless that subcommand is used.
"""
