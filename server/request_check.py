"""Checks a request whole, before any work is done for it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from twinhead.v1 import inference_service_pb2 as pb

from ..model.config import ModelConfig, TaskConfig, TaskKind
from .errors import InvalidRequestError
from .service_class import ServiceClass

# A status travels in trailing metadata, of which clients take 8 KiB by default.
_MAX_VIOLATIONS = 8
# Of a name that is told again, escapes of what cannot be printed included.
_NAME_CHARACTERS = 66


@dataclass(frozen=True)
class EmbeddingPlan:
    """How embeddings are returned."""

    format: "pb.EmbeddingFormat"
    normalize: bool
    dimensions: int


@dataclass(frozen=True)
class RequestPlan:
    """A checked request."""

    tasks: Sequence[TaskConfig]
    embedding: EmbeddingPlan | None
    logits: bool
    """Whether the logits of tasks that answer by sentence are returned."""
    token_logits: bool
    """Whether the logits of tasks that answer by token are returned."""
    truncate: bool
    service_class: ServiceClass = ServiceClass.INTERACTIVE
    repeatable: bool = False
    """Whether nothing but the request may decide how it is cut into passes."""

    @property
    def needs_offsets(self) -> bool:
        """Whether the place of each token in its sentence is needed."""
        return any(task.kind is TaskKind.TOKEN for task in self.tasks)


def check_request(
    request: pb.InferRequest,
    config: ModelConfig,
    dimensions: int,
    max_sentences: int,
    service_class: ServiceClass = ServiceClass.INTERACTIVE,
) -> RequestPlan:
    """Check a request against the model and the limits; it is of a class unless it says another.

    Raises:
        InvalidRequestError: naming every violated field.
    """
    violations: list[tuple[str, str]] = []
    count = len(request.sentences)
    if not count:
        violations.append(("sentences", "at least one is needed"))
    elif count > max_sentences:
        violations.append(
            ("sentences", f"{count} are more than the {max_sentences} that one request may hold")
        )

    outputs = request.outputs
    if outputs.skip_tasks and outputs.tasks:
        violations.append(("outputs.skip_tasks", "contradicts outputs.tasks"))
    wanted = list(outputs.tasks)
    _check_task_names(wanted, config, violations)
    if outputs.skip_tasks:
        tasks: tuple[TaskConfig, ...] = ()
    else:
        tasks = tuple(task for task in config.tasks if not wanted or task.name in wanted)

    embedding = _check_embedding(outputs.embedding, config, dimensions, violations)
    if not violations and not tasks and embedding is None:
        violations.append(("outputs", "asks for neither a task nor an embedding"))
    if request.truncation not in pb.Truncation.values():
        violations.append(("truncation", f"unknown value {request.truncation}"))
    if request.service_class not in pb.ServiceClass.values():
        violations.append(("service_class", f"unknown value {request.service_class}"))
    if violations:
        raise InvalidRequestError(violations)
    return RequestPlan(
        tasks=tasks,
        embedding=embedding,
        logits=outputs.logits if outputs.HasField("logits") else True,
        token_logits=outputs.token_logits,
        truncate=request.truncation != pb.TRUNCATION_NONE,
        service_class=_SERVICE_CLASSES.get(request.service_class, service_class),
        repeatable=request.repeatable,
    )


_SERVICE_CLASSES: Mapping[int, ServiceClass] = {
    pb.SERVICE_CLASS_INTERACTIVE: ServiceClass.INTERACTIVE,
    pb.SERVICE_CLASS_BULK: ServiceClass.BULK,
}


def _check_task_names(
    names: Sequence[str], config: ModelConfig, violations: list[tuple[str, str]]
) -> None:
    known = [task.name for task in config.tasks]
    seen: set[str] = set()
    for index, name in enumerate(names):
        if len(violations) >= _MAX_VIOLATIONS:  # they travel in headers, which are small
            violations.append(("outputs.tasks", f"{len(names)} names, of which more are wrong"))
            return
        if name not in known:
            has = ", ".join(known)[:200] or "none"
            text = f"unknown task {repr(name)[:_NAME_CHARACTERS]}; the model has {has}"
            violations.append((f"outputs.tasks[{index}]", text))
        elif name in seen:
            violations.append((f"outputs.tasks[{index}]", f"task {name!r} stands twice"))
        seen.add(name)


def _check_embedding(
    options: pb.EmbeddingOptions,
    config: ModelConfig,
    dimensions: int,
    violations: list[tuple[str, str]],
) -> EmbeddingPlan | None:
    if options.format not in pb.EmbeddingFormat.values():
        violations.append(("outputs.embedding.format", f"unknown value {options.format}"))
    if options.dimensions > dimensions:
        violations.append(
            (
                "outputs.embedding.dimensions",
                f"{options.dimensions} are more than the {dimensions} that the model has",
            )
        )
    if options.format == pb.EMBEDDING_FORMAT_NONE:
        return None
    wanted = options.dimensions or dimensions
    if options.format == pb.EMBEDDING_FORMAT_BINARY and wanted % 8:
        violations.append(
            ("outputs.embedding.dimensions", f"{wanted} is no multiple of 8, as BINARY needs")
        )
    return EmbeddingPlan(
        format=options.format or pb.EMBEDDING_FORMAT_FLOAT32,
        normalize=options.normalize if options.HasField("normalize") else config.normalize,
        dimensions=wanted,
    )
