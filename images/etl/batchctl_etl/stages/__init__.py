"""The verbs: each takes its configuration, does its work and returns a report. They join storage, readers and
writers."""
