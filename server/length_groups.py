"""Sentences of like length together."""

from collections.abc import Sequence


def groups_by_length(lengths: Sequence[int], token_budget: int) -> list[list[int]]:
    """Cut sentences, all known beforehand, into batches that pad little.

    Args:
        lengths: of each sentence, in tokens.
        token_budget: padded tokens of a batch; a single longer sentence is one by itself.

    Returns:
        For each batch the places of its sentences in `lengths`, from the shortest sentence to the
        longest, in the batches and over them.
    """
    groups: list[list[int]] = []
    for place in sorted(range(len(lengths)), key=lengths.__getitem__):
        # The longest of a group comes last.
        if not groups or (len(groups[-1]) + 1) * lengths[place] > token_budget:
            groups.append([])
        groups[-1].append(place)
    return groups
