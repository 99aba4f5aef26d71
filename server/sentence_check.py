"""Sentences to tokens, and one status for each."""

from collections.abc import Sequence

from twinhead.v1 import inference_service_pb2 as pb

from ..model.tokenizer import TokenizedSentence, Tokenizer


def tokenize(
    sentences: Sequence[str],
    tokenizer: Tokenizer,
    max_characters: int,
    *,
    truncate: bool,
    offsets: bool = False,
) -> tuple[list[TokenizedSentence | None], list[pb.SentenceStatus]]:
    """Tokenise what can be encoded; the others get their own status and None.

    Args:
        sentences: as the caller sent them.
        tokenizer: of the version that answers.
        max_characters: characters of a sentence that are read.
        truncate: whether over-long sentences are cut, or refused one by one.
        offsets: whether to tell where each token is.
    """
    tokenized: list[TokenizedSentence | None] = []
    statuses: list[pb.SentenceStatus] = []
    read = [sentence[:max_characters] for sentence in sentences]
    for sentence, part, tokens in zip(
        sentences, read, tokenizer(read, offsets=offsets), strict=True
    ):
        cut = len(part) < len(sentence)
        status = _status(part, tokens, cut, truncate, tokenizer)
        statuses.append(status)
        tokenized.append(tokens if status.code == pb.SENTENCE_CODE_OK else None)
    return tokenized, statuses


def _status(
    sentence: str, tokens: TokenizedSentence, cut: bool, truncate: bool, tokenizer: Tokenizer
) -> pb.SentenceStatus:
    if not sentence or sentence.isspace():
        return pb.SentenceStatus(code=pb.SENTENCE_CODE_EMPTY, message="the sentence is empty")
    if tokens.tokens == tokenizer.special_tokens:
        return pb.SentenceStatus(
            code=pb.SENTENCE_CODE_INVALID,
            message="nothing of the sentence can be read by the model (control characters only?)",
        )
    truncated = cut or tokens.truncated
    if truncated and not truncate:
        if cut:
            much = f"more than {len(sentence)} characters, the most that are read"
        else:
            much = f"{tokens.tokens} tokens, and the model takes {tokenizer.max_tokens}"
        return pb.SentenceStatus(
            code=pb.SENTENCE_CODE_TOO_LONG,
            message=f"the sentence has {much}; truncation is off",
            tokens=tokens.tokens,
        )
    return pb.SentenceStatus(
        code=pb.SENTENCE_CODE_OK,
        truncated=truncated,
        tokens=tokens.tokens,
        tokens_used=len(tokens.ids),
    )
