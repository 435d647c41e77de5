"""From rows to rows. No URLs, no files, no cloud: a transform sees Arrow streams only."""
