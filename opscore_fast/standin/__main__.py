"""`python -m opscore_fast.standin`: the same as `python -m opscore_fast standin`."""

import sys

from opscore_fast.standin.cli import main

sys.exit(main(sys.argv[1:]))
