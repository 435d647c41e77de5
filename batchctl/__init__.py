"""batchctl: scheduled, containerised ETL on Azure Batch, and the same jobspec on a laptop."""

__version__ = "0.1.0"
