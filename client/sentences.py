"""Sentences as callers have them: lists, arrays, columns, generators."""

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping, Set
from typing import Any, Generic, TypeVar

T = TypeVar("T")


def sentence_list(sentences: Iterable[str]) -> list[str]:
    """All sentences of a list, tuple, numpy array, pandas Series, Arrow array or generator.

    Raises:
        TypeError: one of them is no string, or they are not in a row.
    """
    listed: list[Any] = list(_in_a_row(sentences))
    for row, sentence in enumerate(listed):
        if not isinstance(sentence, str):
            raise _no_sentence(sentence, row)
    return listed


def each(items: Iterable[T] | AsyncIterable[T]) -> AsyncIterator[T]:
    """The items of an iterable, asynchronous or not.

    Raises:
        TypeError: it is no iterable.
    """
    return aiter(items) if isinstance(items, AsyncIterable) else _Each(iter(items))


class SentenceBatches(AsyncIterator[list[str]]):
    """Cuts any number of sentences into batches; reads no further than is asked for."""

    def __init__(self, sentences: Iterable[str] | AsyncIterable[str], batch_size: int) -> None:
        """Cut them so that each batch but the last has `batch_size`.

        Raises:
            ValueError: `batch_size` is less than 1.
            TypeError: they are not in a row.
        """
        if batch_size < 1:
            raise ValueError("batch_size must be 1 or more")
        if not isinstance(sentences, AsyncIterable):
            sentences = _in_a_row(sentences)
        self._sentences: AsyncIterator[Any] = each(sentences)
        self._size = batch_size
        self._row = 0

    async def __anext__(self) -> list[str]:
        batch: list[str] = []
        async for sentence in self._sentences:
            if not isinstance(sentence, str):
                raise _no_sentence(sentence, self._row)
            batch.append(sentence)
            self._row += 1
            if len(batch) == self._size:
                break
        if not batch:
            raise StopAsyncIteration
        return batch


class _Each(AsyncIterator[T], Generic[T]):
    """A plain iterator, read by whoever awaits it."""

    def __init__(self, items: Iterator[T]) -> None:
        self._items = items

    async def __anext__(self) -> T:
        for item in self._items:
            return item
        raise StopAsyncIteration


def _in_a_row(sentences: Any) -> Iterable[Any]:
    """What gives them one by one, as Python has them.

    Raises:
        TypeError: they have another shape, or no order.
    """
    kind = type(sentences).__name__
    if isinstance(sentences, (str, bytes, bytearray)):
        raise TypeError(f"sentences must be a list of strings, not one {kind}")
    if isinstance(sentences, (Mapping, Set)):  # whose answer would be whose?
        raise TypeError(f"sentences must be a list of strings; a {kind} has no order")
    dimensions: int = getattr(sentences, "ndim", 1)  # of numpy and pandas
    if dimensions != 1:
        raise TypeError(
            f"sentences must have one dimension; this {kind} has {dimensions}, choose a column"
        )
    to_pylist = getattr(sentences, "to_pylist", None)
    if to_pylist is not None:  # Arrow's own scalars are no strings
        return to_pylist()
    if not isinstance(sentences, Iterable):
        raise TypeError(f"sentences must be a list of strings, not {kind}")
    return sentences


def _no_sentence(found: object, row: int) -> TypeError:
    return TypeError(
        f"row {row} is no string but {found!r:.60}; leave such rows out, or make them empty "
        "strings, which have a status of their own"
    )
