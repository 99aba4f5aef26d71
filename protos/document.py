"""The contract's comments as docs/protocol.md; called by generate.py."""

from collections.abc import Iterator, Sequence

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    ServiceDescriptorProto,
)

_HEAD = """# The protocol

Every call, message and field of the package `twinhead.v1`, from the comments in
[protos/twinhead/v1](../protos/twinhead/v1), which `make protos` turns into this page. Field numbers are
in brackets after the names. [OTHER_PROTOCOLS.md](OTHER_PROTOCOLS.md) is about the protocols of others that the worker speaks, too.
"""
_SCALARS = {
    value: name.removeprefix("TYPE_").lower() for name, value in FieldDescriptorProto.Type.items()
}
# Numbers of fields in the descriptors, of which paths to comments are made.
_MESSAGES, _ENUMS, _SERVICES = 4, 5, 6
_FIELDS = _METHODS = _VALUES = 2


def document(files: Sequence[FileDescriptorProto]) -> str:
    """A page of Markdown about files that were read with their comments."""
    return "\n".join([_HEAD, *_contents(files), *(part for file in files for part in _file(file))])


def _contents(files: Sequence[FileDescriptorProto]) -> Iterator[str]:
    for file in files:
        for service in file.service:
            calls = ", ".join(_link(service, method.name) for method in service.method)
            yield f"- [{service.name}](#{service.name.lower()}): {calls}"
    yield ""


def _file(file: FileDescriptorProto) -> Iterator[str]:
    comments = {
        tuple(location.path): location.leading_comments for location in file.source_code_info.location
    }
    for number, service in enumerate(file.service):
        yield from _service(service, comments, (_SERVICES, number))
    for number, message in enumerate(file.message_type):
        yield from _message(message, comments, (_MESSAGES, number))
    for number, enum in enumerate(file.enum_type):
        yield from _enum(enum, comments, (_ENUMS, number))


_Comments = dict[tuple[int, ...], str]
_Path = tuple[int, ...]


def _service(
    service: ServiceDescriptorProto, comments: _Comments, path: _Path
) -> Iterator[str]:
    yield f"## {service.name}\n\n{_text(comments[path])}\n"
    for number, method in enumerate(service.method):
        request = f"{'stream of ' * method.client_streaming}{_named(method.input_type)}"
        response = f"{'stream of ' * method.server_streaming}{_named(method.output_type)}"
        yield f"### {service.name}.{method.name}\n\n{request} → {response}\n"
        yield f"{_text(comments[*path, _METHODS, number])}\n"


def _message(message: DescriptorProto, comments: _Comments, path: _Path) -> Iterator[str]:
    yield f"### {message.name}\n\n{_text(comments[path])}\n"
    if not message.field:
        return
    yield "| field | type | |\n|---|---|---|"
    for number, field in enumerate(message.field):
        about = _cell(comments[*path, _FIELDS, number])
        if field.HasField("oneof_index") and not field.proto3_optional:
            about = f"*One of `{message.oneof_decl[field.oneof_index].name}`.* {about}"
        yield f"| `{field.name}` ({field.number}) | {_type(message, field)} | {about} |"
    yield ""


def _enum(enum: EnumDescriptorProto, comments: _Comments, path: _Path) -> Iterator[str]:
    yield f"### {enum.name}\n\n{_text(comments[path])}\n\n| value | |\n|---|---|"
    for number, value in enumerate(enum.value):
        about = _cell(comments[*path, _VALUES, number])
        yield f"| `{value.name}` ({value.number}) | {about} |"
    yield ""


def _type(message: DescriptorProto, field: FieldDescriptorProto) -> str:
    if not field.type_name:
        name = _SCALARS[field.type]
    else:
        entry = next(
            (nested for nested in message.nested_type if field.type_name.endswith(f".{nested.name}")),
            None,
        )
        if entry is not None:  # how a map is written
            key, value = entry.field
            return f"map of {_type(entry, key)} to {_type(entry, value)}"
        name = _named(field.type_name)
    if field.label == FieldDescriptorProto.LABEL_REPEATED:
        return f"repeated {name}"
    return f"optional {name}" if field.proto3_optional else name


def _named(full_name: str) -> str:
    name = full_name.rpartition(".")[2]
    ours = full_name.startswith(".twinhead.")
    return f"[{name}](#{name.lower()})" if ours else f"`{full_name.removeprefix('.')}`"


def _link(service: ServiceDescriptorProto, method: str) -> str:
    return f"[{method}](#{service.name.lower()}{method.lower()})"


def _text(comment: str) -> str:
    """A comment without the space that each of its lines begins with."""
    return "\n".join(line.removeprefix(" ") for line in comment.strip("\n").split("\n"))


def _cell(comment: str) -> str:
    return " ".join(_text(comment).split()).replace("|", r"\|")
