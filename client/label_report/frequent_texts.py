"""The most frequent texts under each label, in bounded memory."""

from collections import Counter
from collections.abc import Iterable


class FrequentTexts:
    """Counts texts by label, and forgets rare ones when there are too many.

    This is lossy counting (Manku & Motwani, 2002): a count may be up to `missed` too low.
    """

    def __init__(self, most: int = 20_000) -> None:
        self._most = most
        self._counts: Counter[tuple[int, str]] = Counter()
        self.missed = 0
        """How much too low a count may be."""

    def add(self, counts: Iterable[tuple[int, str, int]]) -> None:
        """Count texts: label, text and how often."""
        for label, text, count in counts:
            self._counts[label, text] += count

    def forget_rare(self) -> None:
        """Keep the more frequent half if there are too many."""
        if len(self._counts) > self._most:
            ranked = sorted(self._counts.items(), key=lambda item: (-item[1], item[0]))
            kept = self._most // 2
            self.missed += ranked[kept][1]
            self._counts = Counter(dict(ranked[:kept]))

    def top(self, label: int, most: int) -> list[tuple[str, int]]:
        """The most frequent texts of a label with their counts."""
        found = [(text, count) for (other, text), count in self._counts.items() if other == label]
        return sorted(found, key=lambda item: (-item[1], item[0]))[:most]
