"""What every benchmark needs: pinned processes, servers, headless Locust runs, tables."""


class BenchError(Exception):
    """A measurement that cannot be made; its text is one line for whoever started the run."""
