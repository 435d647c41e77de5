"""From a file-like object to Arrow record batches: one module for each format. No URLs, no cloud."""
