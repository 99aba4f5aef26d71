"""Embeddings for LangChain: `pip install 'twinhead[langchain]'`."""

from typing import TypedDict

from langchain_core.embeddings import Embeddings
from typing_extensions import override

from ..async_client import AsyncClient
from ..channel import DEFAULT_TARGET, Tls
from ..client import Client
from ..embedding_rows import Unanswered


class _Options(TypedDict):
    normalize: bool | None
    dimensions: int | None
    unanswered: Unanswered
    model_version: str | None


class TwinheadEmbeddings(Embeddings):
    """A worker's embeddings, for vector stores, retrievers and whatever else takes LangChain's.

    >>> store = InMemoryVectorStore(TwinheadEmbeddings("localhost:50051"))

    What goes wrong is raised as by `Client.embed`.
    """

    def __init__(
        self,
        target: str = DEFAULT_TARGET,
        *,
        token: str = "",
        tls: Tls | None = None,
        timeout: float | None = 60.0,
        normalize: bool | None = None,
        dimensions: int | None = None,
        unanswered: Unanswered = "error",
        model_version: str | None = None,
        query_prompt: str = "",
        document_prompt: str = "",
    ) -> None:
        """Connect to a worker when the first call is made.

        Args:
            target: `host:port`; this and the next three are those of `Client`.
            token: for workers that ask for one.
            tls: for workers that have a certificate.
            timeout: seconds for a call.
            normalize: scale to unit length; this and the next three are those of `Client.embed`.
            dimensions: keep so many dimensions.
            unanswered: what becomes of empty texts: `error` or `zeros`.
            model_version: the version that must answer. Vectors of two versions cannot be
                compared, so a store that is kept does well to name the one that it is made with.
            query_prompt: what comes before each query, for models that were trained so.
            document_prompt: what comes before each document.

        Raises:
            FileError: a TLS file cannot be read, or is none.
        """
        self._client = Client(target, token=token, tls=tls, timeout=timeout)
        self._async_client = AsyncClient(target, token=token, tls=tls, timeout=timeout)
        self._options: _Options = {
            "normalize": normalize,
            "dimensions": dimensions,
            "unanswered": unanswered,
            "model_version": model_version,
        }
        self._query_prompt = query_prompt
        self._document_prompt = document_prompt

    def close(self) -> None:
        """Close the connections of the blocking methods; those of others end with their loops."""
        self._client.close()

    @override
    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """The embedding of each text."""
        return self._client.embed(self._documents(texts), **self._options).tolist()

    @override
    def embed_query(self, text: str) -> list[float]:
        """The embedding of a text."""
        return self._client.embed([self._query_prompt + text], **self._options)[0].tolist()

    @override
    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """The embedding of each text."""
        vectors = await self._async_client.embed(self._documents(texts), **self._options)
        return vectors.tolist()

    @override
    async def aembed_query(self, text: str) -> list[float]:
        """The embedding of a text."""
        vectors = await self._async_client.embed([self._query_prompt + text], **self._options)
        return vectors[0].tolist()

    def _documents(self, texts: list[str]) -> list[str]:
        return [self._document_prompt + text for text in texts] if self._document_prompt else texts
