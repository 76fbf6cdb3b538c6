"""PURE: a draw by published shares."""


def drawn_by(shares: dict[str, float], draw: float) -> str:
    """The name that a uniform draw in [0, 1) falls on; the largest share for what is left over."""
    total = sum(shares.values())
    reached = 0.0
    for name, share in shares.items():
        reached += share / total if total > 0.0 else 0.0
        if draw < reached:
            return name
    return max(shares, key=lambda name: shares[name])
