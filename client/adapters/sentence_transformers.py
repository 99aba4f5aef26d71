"""A stand-in for `SentenceTransformer`, whose encoder is a worker's."""

from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from ..channel import DEFAULT_TARGET, Tls
from ..client import Client
from ..embedding_rows import Unanswered
from ..sentences import sentence_list


class TwinheadSentenceTransformer:
    """Encodes as `SentenceTransformer.encode` does, with the same names, defaults and results.

    >>> model = TwinheadSentenceTransformer("localhost:50051")
    >>> model.encode(["What a match!"]).shape

    Arrays need nothing but this package. Tensors, similarities and other precisions than float32
    are made by sentence-transformers, which must then be installed.
    """

    def __init__(
        self,
        target: str = DEFAULT_TARGET,
        *,
        token: str = "",
        tls: Tls | None = None,
        timeout: float | None = 60.0,
        prompts: Mapping[str, str] | None = None,
        default_prompt_name: str | None = None,
        truncate_dim: int | None = None,
        similarity_fn_name: Literal["cosine", "dot", "euclidean", "manhattan"] = "cosine",
        unanswered: Unanswered = "error",
        model_version: str | None = None,
    ) -> None:
        """Connect to a worker when the first call is made.

        Args:
            target: `host:port`; this and the next three are those of `Client`.
            token: for workers that ask for one.
            tls: for workers that have a certificate.
            timeout: seconds for a call.
            prompts: what to put before sentences, by a name. A worker knows of none.
            default_prompt_name: the one that is put before all sentences without another.
            truncate_dim: keep so many dimensions unless a call says otherwise.
            similarity_fn_name: what `similarity` computes.
            unanswered: what becomes of empty sentences, which a worker does not encode: `error`
                raises, `zeros` gives zeros.
            model_version: the version that must answer; None for the live one.

        Raises:
            FileError: a TLS file cannot be read, or is none.
            ValueError: there is no prompt of that name.
        """
        self._client = Client(target, token=token, tls=tls, timeout=timeout)
        # As the original has them: queries and documents never take the default prompt.
        self.prompts = {"query": "", "document": "", **(prompts or {})}
        self.default_prompt_name = default_prompt_name
        self.truncate_dim = truncate_dim
        self.similarity_fn_name = similarity_fn_name
        self.model_card_data = _NoModelCard()
        self._unanswered: Unanswered = unanswered
        self._model_version = model_version
        self._prompt(None, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    @property
    def max_seq_length(self) -> int:
        """Tokens of a sentence that are encoded, special tokens included."""
        return self._client.model().tokens_per_sentence

    def get_embedding_dimension(self) -> int:
        """How long the vectors are that `encode` gives."""
        dimensions = self._client.model().embedding_dimensions
        return dimensions if self.truncate_dim is None else min(dimensions, self.truncate_dim)

    def get_sentence_embedding_dimension(self) -> int:
        """The former name of `get_embedding_dimension`."""
        return self.get_embedding_dimension()

    def encode(
        self,
        inputs: str | Iterable[str] | None = None,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,  # noqa: ARG002 (see below, as for the others)
        output_value: Literal["sentence_embedding"] = "sentence_embedding",
        precision: Literal["float32", "int8", "uint8", "binary", "ubinary"] | None = "float32",
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        device: Any = None,
        normalize_embeddings: bool = False,
        truncate_dim: int | None = None,
        pool: Any = None,  # noqa: ARG002
        chunk_size: int | None = None,  # noqa: ARG002
        *,
        sentences: str | Iterable[str] | None = None,
    ) -> Any:
        """Encode one sentence or many.

        Args:
            inputs: a string, or strings in a row.
            prompt_name: the prompt to put before each, of those that the constructor was given.
            prompt: the same as text.
            batch_size: sentences in a request; more go on a stream.
            show_progress_bar: none is shown.
            output_value: there are only the embeddings of sentences.
            precision: what the embeddings are quantised to, by sentence-transformers.
            convert_to_numpy: give an array, or else a list of tensors.
            convert_to_tensor: give a tensor, whatever `convert_to_numpy` says.
            device: where tensors are put. The worker computes where it is.
            normalize_embeddings: scale to unit length. Otherwise they are as the model has them,
                which may be so already.
            truncate_dim: keep so many dimensions.
            pool: not needed: the worker uses all of its machine.
            chunk_size: not needed.
            sentences: what `inputs` was called before sentence-transformers 5.

        Returns:
            An array or tensor of [sentences, dimensions], or of [dimensions] for one string.

        Raises:
            UnansweredSentencesError: a sentence is empty; see `unanswered` of the constructor.
            TwinheadError: the call failed.
            ValueError: another `output_value`, an unknown prompt, or a `batch_size` below 1.
            TypeError: a sentence is no string.
        """
        if output_value != "sentence_embedding":
            raise ValueError(f"a worker gives sentence embeddings only, not {output_value!r}")
        given = sentences if inputs is None else inputs
        if given is None:
            raise TypeError("there is nothing to encode: give a string or a list of strings")
        texts = [given] if isinstance(given, str) else sentence_list(given)
        if before := self._prompt(prompt, prompt_name):
            texts = [before + text for text in texts]
        dimensions = self.truncate_dim if truncate_dim is None else truncate_dim
        vectors: Any = self._vectors(texts, batch_size, dimensions, normalize_embeddings)
        if precision not in (None, "float32") and texts:
            vectors = import_module("sentence_transformers").quantize_embeddings(
                vectors, precision=precision
            )
        if convert_to_tensor or not convert_to_numpy:
            # What the client itself does not need; it comes with sentence-transformers.
            torch: Any = import_module("torch")
            vectors = torch.as_tensor(vectors, dtype=None if texts else torch.float32)
            if device is not None and not isinstance(device, list):
                vectors = vectors.to(device)
            if not convert_to_tensor:
                vectors = list(vectors)
        return vectors[0] if isinstance(given, str) else vectors

    def encode_query(
        self,
        inputs: str | Iterable[str] | None = None,
        prompt_name: str | None = None,
        *others: Any,
        **options: Any,
    ) -> Any:
        """`encode`, with the prompt called `query` unless there is another."""
        return self.encode(inputs, prompt_name or "query", *others, **options)

    def encode_document(
        self,
        inputs: str | Iterable[str] | None = None,
        prompt_name: str | None = None,
        *others: Any,
        **options: Any,
    ) -> Any:
        """`encode`, with the prompt called `document` unless there is another."""
        return self.encode(inputs, prompt_name or "document", *others, **options)

    def similarity(self, embeddings1: Any, embeddings2: Any) -> Any:
        """A tensor of [embeddings1, embeddings2], by `similarity_fn_name`."""
        functions = import_module("sentence_transformers").SimilarityFunction
        return functions.to_similarity_fn(self.similarity_fn_name)(embeddings1, embeddings2)

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> Any:
        """A tensor of [embeddings], each with the one at its place; see `similarity`."""
        functions = import_module("sentence_transformers").SimilarityFunction
        return functions.to_similarity_pairwise_fn(self.similarity_fn_name)(
            embeddings1, embeddings2
        )

    def _vectors(
        self, texts: list[str], batch_size: int, dimensions: int | None, normalize: bool
    ) -> NDArray[np.float32]:
        if not texts:
            return np.array([])  # as the original has it
        vectors = self._client.embed(
            texts,
            unanswered=self._unanswered,
            model_version=self._model_version,
            batch_size=batch_size,
        )
        # Here and not by the worker, which would scale what is left of vectors of unit length.
        vectors = vectors[:, :dimensions]
        if normalize:
            lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
            vectors = vectors / np.maximum(lengths, 1e-12)  # the bound is torch's own
        return vectors

    def _prompt(self, prompt: str | None, name: str | None) -> str:
        """What comes before each sentence."""
        if prompt is not None:
            return prompt
        name = self.default_prompt_name if name is None else name
        if name is None:
            return ""
        if name not in self.prompts:
            raise ValueError(f"no prompt is called {name!r}; there are {', '.join(self.prompts)}")
        return self.prompts[name]


class _NoModelCard:
    """What sentence-transformers' evaluators tell their figures, too."""

    def set_evaluation_metrics(self, *_: object) -> None:
        """Nothing: there is no card to write."""
