"""The service `tei.v1.Tokenize`: text to tokens and back, without the model."""

import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import numpy as np
from google.protobuf.message import Message
from twinhead.protocols import tei_service_pb2 as tei
from twinhead.protocols import tei_service_pb2_grpc as tei_grpc

from .errors import Context, InvalidRequestError
from .pipeline import Pipeline
from .tei_question import refuse_prompt


class TokenizeService(tei_grpc.TokenizeServicer):
    """Answers with tokens, or with their text; streams one by one, in their order."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        # The model's own cuts texts off. Versions mostly share theirs; during a swap there are two.
        self._uncut = functools.lru_cache(maxsize=2)(_uncut)

    async def Tokenize(self, request: tei.EncodeRequest, context: Context) -> tei.EncodeResponse:  # noqa: ARG002
        """The tokens of one text."""
        return await self._tokenize(request)

    async def TokenizeStream(
        self, request_iterator: AsyncIterator[tei.EncodeRequest], context: Context
    ) -> None:
        """The tokens of each text."""
        await self._one_by_one(self._tokenize, request_iterator, context)

    async def Decode(self, request: tei.DecodeRequest, context: Context) -> tei.DecodeResponse:  # noqa: ARG002
        """The text of tokens."""
        return await self._decode(request)

    async def DecodeStream(
        self, request_iterator: AsyncIterator[tei.DecodeRequest], context: Context
    ) -> None:
        """The text of the tokens of each message."""
        await self._one_by_one(self._decode, request_iterator, context)

    async def _one_by_one(
        self,
        answer: Callable[[Any], Awaitable[Message]],
        requests: AsyncIterator[Message],
        context: Context,
    ) -> None:
        with self._pipeline.serving.until_draining() as first:
            while (request := await first(anext(requests, None))) is not None:
                await context.write(await answer(request))

    async def _tokenize(self, request: tei.EncodeRequest) -> tei.EncodeResponse:
        refuse_prompt(request.prompt_name)
        self._check_length("inputs", len(request.inputs), "characters")
        serialized = self._pipeline.serving.model().tokenizer.serialized
        return await self._pipeline.in_thread(
            lambda: _tokens(
                self._uncut(serialized), request.inputs, special=request.add_special_tokens
            )
        )

    async def _decode(self, request: tei.DecodeRequest) -> tei.DecodeResponse:
        self._check_length("ids", len(request.ids), "of them")
        serialized = self._pipeline.serving.model().tokenizer.serialized
        text: str = await self._pipeline.in_thread(
            lambda: self._uncut(serialized).decode(
                list(request.ids), skip_special_tokens=request.skip_special_tokens
            )
        )
        return tei.DecodeResponse(text=text)

    def _check_length(self, field: str, length: int, unit: str) -> None:
        most = self._pipeline.settings.characters_per_sentence
        if not length:
            raise InvalidRequestError([(field, "must not be empty")])
        if length > most:
            raise InvalidRequestError(
                [(field, f"{length} {unit} are more than the {most} allowed")]
            )


def _uncut(serialized: bytes) -> Any:
    """A tokenizer that cuts nothing off."""
    from tokenizers import Tokenizer

    tokenizer: Any = Tokenizer.from_buffer(serialized)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def _tokens(tokenizer: Any, text: str, *, special: bool) -> tei.EncodeResponse:
    (encoding,) = tokenizer.encode_batch([text], add_special_tokens=special)  # releases the GIL
    places = _byte_places(text)
    response = tei.EncodeResponse()
    for token, name, (start, stop), added in zip(
        encoding.ids, encoding.tokens, encoding.offsets, encoding.special_tokens_mask, strict=True
    ):
        if added:
            response.tokens.add(id=token, text=name, special=True)
        else:
            response.tokens.add(
                id=token, text=text[start:stop], start=places[start], stop=places[stop]
            )
    return response


def _byte_places(text: str) -> list[int]:
    """Where each character of a text begins in its UTF-8, and where the last one ends."""
    points = np.frombuffer(text.encode("utf-32-le"), dtype="<u4")
    lengths = 1 + (points > 0x7F).astype(np.int64) + (points > 0x7FF) + (points > 0xFFFF)
    return [0, *np.cumsum(lengths).tolist()]
