"""Counts of names that sessions made up, so of any number: only the most used are kept."""

NAMES_MOST = 2_000


def count(counts: dict[str, int], name: str) -> None:
    """Count a name; where too many are kept, the rarest tenth goes."""
    counts[name] = counts.get(name, 0) + 1
    if len(counts) > NAMES_MOST:
        for rare in sorted(counts, key=lambda known: counts[known])[: NAMES_MOST // 10]:
            del counts[rare]
