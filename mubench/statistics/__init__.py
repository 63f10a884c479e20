"""Statistics over seeds: intervals, paired tests, ranks. Numbers in, numbers out; no torch, no records."""


class Undefined(Exception):
    """A statistic cannot be computed of these numbers; the message says why."""
