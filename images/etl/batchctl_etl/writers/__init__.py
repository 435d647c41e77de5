"""From Arrow record batches to a file-like object: one module for each format. No URLs, no cloud."""
