"""Sentences to token ids."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import CheckpointError

# Characters handed to the tokenizer at a time: it works on them for about 0.1 s on two cores, with
# about 60 bytes of memory for each.
_CHUNK_CHARACTERS = 250_000

TOKENIZER = "tokenizer.json"
TOKENIZER_CONFIG = "tokenizer_config.json"
# The later one has the last word.
_COMPANIONS = ("special_tokens_map.json", TOKENIZER_CONFIG)
_SPECIAL_TOKENS = tuple(
    f"{kind}_token" for kind in ("bos", "eos", "unk", "sep", "pad", "cls", "mask")
)


@dataclass(frozen=True)
class TokenizedSentence:
    """Token ids of one sentence, special tokens included."""

    ids: list[int]
    """What the encoder sees, at most `max_tokens` of them."""
    tokens: int
    """Tokens of the sentence before truncation."""
    offsets: list[tuple[int, int]] | None = None
    """Where each of `ids` is in the sentence, begin and end (excluded) in code points; empty for
    special tokens. None when not asked for."""

    @property
    def truncated(self) -> bool:
        """Whether the end was cut off."""
        return self.tokens > len(self.ids)


class Tokenizer:
    """A Hugging Face fast tokenizer with truncation that is counted.

    Its work releases the GIL and may be called from several threads.
    """

    def __init__(
        self, serialized: bytes, max_tokens: int, stated: Mapping[str, Any] | None = None
    ) -> None:
        """Take over a tokenizer.

        Args:
            serialized: bytes of its `tokenizer.json`; padding and truncation are set here.
            max_tokens: tokens of a sentence that are kept.
            stated: what the files beside it say, which the ecosystem's tools read; only the names
                of special tokens are used, in `save`.
        """
        from tokenizers import Tokenizer as Backend

        backend: Any = Backend.from_buffer(serialized)
        backend.no_padding()
        backend.enable_truncation(max_tokens)
        self._backend = backend
        self.serialized = serialized
        """The bytes of its `tokenizer.json`."""
        self._stated = dict(stated or {})
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
        file = folder / TOKENIZER
        if not file.is_file():
            raise CheckpointError(f"{folder} has no tokenizer.json (a fast tokenizer is needed)")
        try:
            stated: dict[str, Any] = {}
            for name in _COMPANIONS:
                if (folder / name).is_file():
                    stated |= _read_object(folder / name)
            return cls(file.read_bytes(), max_tokens, stated)
        except CheckpointError:
            raise
        except Exception as error:  # the library raises bare exceptions
            raise CheckpointError(f"{file} cannot be read: {error}") from error

    def with_max_tokens(self, max_tokens: int) -> "Tokenizer":
        """The same tokenizer, cutting sentences at another length.

        Raises:
            CheckpointError: no room is left beside the special tokens.
        """
        try:
            return Tokenizer(self.serialized, max_tokens, self._stated)
        except ValueError as error:
            raise CheckpointError(str(error)) from error

    def save(self, folder: Path, pad_token_id: int | None = None) -> None:
        """Write `tokenizer.json`, byte for byte as it was read, and `tokenizer_config.json`.

        The latter makes `AutoTokenizer` read the former as it is. Under the name of a model's own
        class, such as `BertTokenizer`, transformers would take only the vocabulary from it, and
        build the rest (lower case, accents, spaces) from that class's defaults.

        Args:
            folder: where to.
            pad_token_id: what stands for padding if no file has said so.
        """
        (folder / TOKENIZER).write_bytes(self.serialized)
        (folder / TOKENIZER_CONFIG).write_text(self.config_text(pad_token_id), encoding="utf-8")

    def config_text(self, pad_token_id: int | None = None) -> str:
        """What `save` writes into `tokenizer_config.json`."""
        # Any other would become one, and then be found in texts in which it is none here.
        known = {token.content for token in self._backend.get_added_tokens_decoder().values()}
        special = {
            name: token
            for name in _SPECIAL_TOKENS
            if (token := _text_of(self._stated.get(name))) in known
        }
        special.setdefault("pad_token", self._backend.id_to_token(pad_token_id or 0))
        config = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_input_names": ["input_ids", "attention_mask"],
            "model_max_length": self.max_tokens,
            **special,
        }
        return json.dumps(config, indent=2, ensure_ascii=False) + "\n"

    @property
    def vocabulary(self) -> int:
        """All its token ids are below this."""
        ids: dict[str, int] = self._backend.get_vocab(with_added_tokens=True)
        return max(ids.values(), default=-1) + 1

    @property
    def sha256(self) -> str:
        """Digest of `tokenizer.json`."""
        return hashlib.sha256(self.serialized).hexdigest()

    def __call__(
        self, sentences: Sequence[str], *, offsets: bool = False
    ) -> list[TokenizedSentence]:
        """Tokenise sentences, each cut to `max_tokens`; with offsets it takes a little longer."""
        encode = self._backend.encode_batch if offsets else self._backend.encode_batch_fast
        results: list[TokenizedSentence] = []
        for chunk in chunked(sentences):
            for encoding in encode(chunk):
                dropped = sum(len(part) - self.special_tokens for part in encoding.overflowing)
                ids: list[int] = encoding.ids
                where = encoding.offsets if offsets else None
                results.append(TokenizedSentence(ids, len(ids) + dropped, where))
        return results


def _read_object(file: Path) -> dict[str, Any]:
    try:
        data = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{file} cannot be read: {error}") from error
    if not isinstance(data, dict):
        raise CheckpointError(f"{file} cannot be read: it is not a JSON object")
    return data


def _text_of(token: Any) -> str | None:
    text = token.get("content") if isinstance(token, dict) else token
    return text if isinstance(text, str) else None


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
