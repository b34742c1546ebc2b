"""Tasks run by native threads: their user classes, and what is between Locust and the threads."""
