"""Sentences to token ids."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import CheckpointError

# Characters handed to the tokenizer at a time: it works on them for about 0.1 s on two cores, with
# about 60 bytes of memory for each.
_CHUNK_CHARACTERS = 250_000


@dataclass(frozen=True)
class TokenizedSentence:
    """Token ids of one sentence, special tokens included."""

    ids: list[int]
    """What the encoder sees, at most `max_tokens` of them."""
    tokens: int
    """Tokens of the sentence before truncation."""

    @property
    def truncated(self) -> bool:
        """Whether the end was cut off."""
        return self.tokens > len(self.ids)


class Tokenizer:
    """A Hugging Face fast tokenizer with truncation that is counted.

    Its work releases the GIL and may be called from several threads.
    """

    def __init__(self, serialized: bytes, max_tokens: int) -> None:
        """Take the bytes of a `tokenizer.json`; its padding and truncation are set here."""
        from tokenizers import Tokenizer as Backend

        backend: Any = Backend.from_buffer(serialized)
        backend.no_padding()
        backend.enable_truncation(max_tokens)
        self._backend = backend
        self._serialized = serialized
        self.max_tokens = max_tokens
        self.special_tokens = int(backend.num_special_tokens_to_add(is_pair=False))
        if max_tokens <= self.special_tokens:
            raise ValueError(f"max_tokens must be more than {self.special_tokens}")

    @classmethod
    def load(cls, folder: Path, max_tokens: int) -> "Tokenizer":
        """Read the tokenizer files of a folder.

        Raises:
            CheckpointError: there is no fast tokenizer.
        """
        file = folder / "tokenizer.json"
        if not file.is_file():
            raise CheckpointError(f"{folder} has no tokenizer.json (a fast tokenizer is needed)")
        try:
            return cls(file.read_bytes(), max_tokens)
        except Exception as error:  # the library raises bare exceptions
            raise CheckpointError(f"{file} cannot be read: {error}") from error

    def save(self, folder: Path) -> None:
        """Write `tokenizer.json`, byte for byte as it was read."""
        (folder / "tokenizer.json").write_bytes(self._serialized)

    @property
    def vocabulary(self) -> int:
        """All its token ids are below this."""
        ids: dict[str, int] = self._backend.get_vocab(with_added_tokens=True)
        return max(ids.values(), default=-1) + 1

    @property
    def sha256(self) -> str:
        """Digest of `tokenizer.json`."""
        return hashlib.sha256(self._serialized).hexdigest()

    def __call__(self, sentences: Sequence[str]) -> list[TokenizedSentence]:
        """Tokenise sentences, each cut to `max_tokens`."""
        results: list[TokenizedSentence] = []
        for chunk in chunked(sentences):
            for encoding in self._backend.encode_batch_fast(chunk):
                dropped = sum(len(part) - self.special_tokens for part in encoding.overflowing)
                ids: list[int] = encoding.ids
                results.append(TokenizedSentence(ids, len(ids) + dropped))
        return results


def chunked(sentences: Sequence[str]) -> Iterator[list[str]]:
    """Sentences in groups that bound the tokenizer's working memory and time."""
    chunk: list[str] = []
    characters = 0
    for sentence in sentences:
        if chunk and characters + len(sentence) > _CHUNK_CHARACTERS:
            yield chunk
            chunk, characters = [], 0
        chunk.append(sentence)
        characters += len(sentence)
    if chunk:
        yield chunk
