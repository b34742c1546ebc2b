"""Tasks of a locustfile, recorded once, to be run natively."""
