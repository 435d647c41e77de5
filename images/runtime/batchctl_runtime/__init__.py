"""`stage-run` wraps the command of a task: secrets in, live logs and a run record out (see CONTRACT.md).

It wraps every task, so it starts in milliseconds: only the standard library is imported before the command
runs, and the Azure SDK only when a URL or a secret needs it. It must not import `batchctl` or `batchctl_etl`.
"""

__version__ = "0.1.0"
