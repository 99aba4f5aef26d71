"""What a caller wants, as the contract's messages."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from twinhead.v1 import inference_service_pb2 as pb

from .sentences import sentence_list

EMBEDDING_FORMATS = {
    None: pb.EMBEDDING_FORMAT_NONE,
    "float32": pb.EMBEDDING_FORMAT_FLOAT32,
    "float16": pb.EMBEDDING_FORMAT_FLOAT16,
    "int8": pb.EMBEDDING_FORMAT_INT8,
    "binary": pb.EMBEDDING_FORMAT_BINARY,
}
SERVICE_CLASSES = {
    None: pb.SERVICE_CLASS_UNSPECIFIED,
    "interactive": pb.SERVICE_CLASS_INTERACTIVE,
    "bulk": pb.SERVICE_CLASS_BULK,
}


@dataclass(frozen=True)
class InferOptions:
    """What to return for sentences, and how. The defaults return everything."""

    tasks: Sequence[str] | None = None
    """Names of the tasks wanted; None for all of them, empty for none."""
    embedding: Literal["float32", "float16", "int8", "binary"] | None = "float32"
    """How embeddings are sent; None for no embeddings."""
    normalize: bool | None = None
    """Scale embeddings to unit length; None for the model's default."""
    dimensions: int | None = None
    """Keep so many dimensions of the embeddings; None for all."""
    logits: bool = True
    """Whether to return logits beside the answers, for tasks that answer by sentence."""
    token_logits: bool = False
    """Whether to return the logits of every token, for tasks that answer by token."""
    truncate: bool = True
    """Cut over-long sentences; otherwise they get a status and no answer."""
    model_version: str | None = None
    """The version that must answer; None for the live one."""
    service_class: Literal["interactive", "bulk"] | None = None
    """Whose turn it is when others wait, too: `interactive` goes ahead, `bulk` keeps a quarter of
    the encoder. None: interactive for one batch, bulk on a stream."""
    repeatable: bool = False
    """Whether the same batch is to get the same answer to the bit, whatever else the worker does:
    from the same version, on workers with the same settings and kind of processor. Otherwise the
    rounding may differ (some 1e-6 of an embedding)."""


def build_request(sentences: Iterable[str], options: InferOptions) -> pb.InferRequest:
    """Build a request.

    Raises:
        ValueError: an unknown embedding format or class of service, dimensions below 1, or a
            sentence that cannot be sent.
        TypeError: `sentences` are no strings in a row, see `sentence_list`; or `tasks` is one.
    """
    if options.embedding not in EMBEDDING_FORMATS:
        known = ", ".join(repr(name) for name in EMBEDDING_FORMATS)
        raise ValueError(f"unknown embedding format {options.embedding!r}; there are {known}")
    if options.service_class not in SERVICE_CLASSES:
        known = ", ".join(repr(name) for name in SERVICE_CLASSES)
        raise ValueError(f"unknown service class {options.service_class!r}; there are {known}")
    if options.dimensions is not None and options.dimensions < 1:
        raise ValueError("dimensions must be 1 or more")
    if isinstance(options.tasks, str):
        raise TypeError("tasks must be a list of names, not one str")
    texts = sentence_list(sentences)
    outputs = pb.OutputSelection(
        tasks=options.tasks or (),
        skip_tasks=options.tasks is not None and not options.tasks,
        embedding=pb.EmbeddingOptions(
            format=EMBEDDING_FORMATS[options.embedding],
            normalize=options.normalize,
            dimensions=options.dimensions or 0,
        ),
        logits=options.logits,
        token_logits=options.token_logits,
    )
    try:
        return pb.InferRequest(
            sentences=texts,
            outputs=outputs,
            truncation=pb.TRUNCATION_END if options.truncate else pb.TRUNCATION_NONE,
            model_version=options.model_version or "",
            service_class=SERVICE_CLASSES[options.service_class],
            repeatable=options.repeatable,
        )
    except UnicodeEncodeError as error:
        raise ValueError(
            f"row {texts.index(error.object)} cannot be sent as UTF-8: {error.reason} (character "
            f"{error.start}); was it read with errors='surrogateescape'?"
        ) from error


def request_metadata(request_id: str) -> list[tuple[str, str]]:
    """Metadata with an id of the caller's; nothing without one.

    Raises:
        ValueError: it cannot travel in a header.
    """
    if not request_id:
        return []
    if len(request_id) > 128 or not all("!" <= character <= "~" for character in request_id):
        raise ValueError(
            "a request id is up to 128 printable ASCII characters without spaces, not "
            f"{request_id[:40]!r}"
        )
    return [("x-request-id", request_id)]
