from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from typing import ClassVar as _ClassVar

DESCRIPTOR: _descriptor.FileDescriptor

class TaskKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TASK_KIND_UNSPECIFIED: _ClassVar[TaskKind]
    TASK_KIND_SINGLE_LABEL: _ClassVar[TaskKind]
    TASK_KIND_BINARY: _ClassVar[TaskKind]
    TASK_KIND_MULTI_LABEL: _ClassVar[TaskKind]
    TASK_KIND_TOKEN: _ClassVar[TaskKind]
TASK_KIND_UNSPECIFIED: TaskKind
TASK_KIND_SINGLE_LABEL: TaskKind
TASK_KIND_BINARY: TaskKind
TASK_KIND_MULTI_LABEL: TaskKind
TASK_KIND_TOKEN: TaskKind
