"""Whether a rule strikes its n-th event: pure, so that the same seed makes the same trouble on every machine."""

import hashlib

from batchctl.server.chaos.rule import Rule


def strikes(rule: Rule, *, seen: int, struck: int) -> bool:
    """Does `rule` strike the next fitting event, having seen `seen` of them before and struck `struck`?"""
    if seen < rule.skip or (rule.times is not None and struck >= rule.times):
        return False
    return rule.probability >= 1 or _chance(rule, seen) < rule.probability


def _chance(rule: Rule, number: int) -> float:
    """A number in [0, 1) that depends on seed, fault and the event's number only."""
    digest = hashlib.blake2b(f"{rule.seed}:{rule.fault}:{number}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64
