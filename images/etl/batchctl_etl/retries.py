"""What a user sees of retries: one line each, in place of stamina's own log."""

from stamina.instrumentation import RetryDetails, set_on_retry_hooks

from batchctl_etl.console import story


def tell_retries(where: str) -> None:
    """From now on, tell of every pause before another try at `where`."""

    def tell(details: RetryDetails) -> None:
        story(f"{where}: {details.caused_by}; trying again in {details.wait_for:.1f} s")

    set_on_retry_hooks([tell])


def hide_retries() -> None:
    """From now on, tell nothing: trying again is part of the work."""
    set_on_retry_hooks([])
