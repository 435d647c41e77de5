"""The first stages of a pipeline: `etl extract`, `etl transform` and `etl load`.

Configured by BATCHCTL_CONFIG, reporting to BATCHCTL_REPORT (see CONTRACT.md of `stage-run`). Every stage
streams with bounded memory and leaves its destination either complete or unchanged. It must not import
`batchctl` or `stage-run`.
"""

__version__ = "0.1.0"
