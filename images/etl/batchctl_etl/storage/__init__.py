"""Where bytes come from and go to. The core (readers, transforms, writers) sees file-like objects only."""
