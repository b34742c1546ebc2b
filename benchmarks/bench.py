"""Measures opscore_fast beside Locust's own user classes and wrk: one command, one table.

python benchmarks/bench.py [--quick] [--only PATTERN] [--seconds S] [--rounds N]
"""

import sys

import agents
import handshakes
import http2
import latency
import memory
import sections
import streams
import throughput

if __name__ == "__main__":
    sys.exit(
        sections.main("bench", [throughput, http2, streams, memory, agents, handshakes, latency])
    )
