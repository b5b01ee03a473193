"""Names of nodes that edits add."""

LONGEST = 64  # letters of a node's name


def unused_name(used: set[str], wanted: str) -> str:
    """A name that begins as wanted and is not used yet; it is from now on."""
    unused, number = wanted[:LONGEST], 1
    while unused in used:
        number += 1
        unused = f"{wanted[: LONGEST - 1 - len(str(number))]}_{number}"
    used.add(unused)
    return unused
