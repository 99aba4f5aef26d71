"""Bytes of every message of the contract, with every field set, still mean the same.

A golden file is what another language sends; its JSON is what that says. After a field was added:
python tests/test_wire.py (and look at the difference: nothing else may have changed).
"""

import json
from pathlib import Path

import pytest
from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from twinhead.v1 import inference_service_pb2, model_admin_service_pb2, model_service_pb2

GOLDEN = Path(__file__).with_name("golden") / "wire"
FILES = (inference_service_pb2, model_service_pb2, model_admin_service_pb2)
# What calls send and answer; all other messages are inside of these.
MESSAGES = {
    message.name: GetMessageClass(message)
    for file in FILES
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
    for message in (method.input_type, method.output_type)
}
# Of fields of which only one can be set, each has its turn.
ROUNDS = 4


def filled(message: Message, turn: int) -> Message:
    """Set every field: of a oneof the one whose turn it is."""
    for field in message.DESCRIPTOR.fields:
        oneof = field.containing_oneof
        if (
            oneof is not None
            and len(oneof.fields) > 1
            and oneof.fields[turn % len(oneof.fields)] is not field
        ):
            continue
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            entries = getattr(message, field.name)
            value_field = field.message_type.fields_by_name["value"]
            if value_field.message_type is not None:
                filled(entries["key"], turn)
            else:
                entries["key"] = value(value_field)
        elif field.message_type is not None:
            inside = getattr(message, field.name)
            filled(inside.add() if field.is_repeated else inside, turn)
        elif field.is_repeated:
            getattr(message, field.name).extend([value(field)] * 2)
        else:
            setattr(message, field.name, value(field))
    return message


def value(field: FieldDescriptor) -> object:
    """Another one for each field of a message, as far as its type has so many."""
    number = field.number
    match field.cpp_type:
        case FieldDescriptor.CPPTYPE_STRING:
            text = f"{field.name} é😀"
            return text.encode() if field.type == FieldDescriptor.TYPE_BYTES else text
        case FieldDescriptor.CPPTYPE_BOOL:
            return True
        case FieldDescriptor.CPPTYPE_ENUM:
            return field.enum_type.values[-1].number
        case FieldDescriptor.CPPTYPE_FLOAT | FieldDescriptor.CPPTYPE_DOUBLE:
            return number + 0.5
        case _:
            return 300 + number


def messages(name: str) -> list[Message]:
    """A message with every field; several where only one of some fields can be set."""
    made: list[Message] = []
    for turn in range(ROUNDS):
        message = filled(MESSAGES[name](), turn)
        if (
            isinstance(message, inference_service_pb2.StreamInferResponse)
            and message.WhichOneof("result") == "error"
        ):
            # They are messages of any type, which JSON would have to know.
            del message.error.details[:]
        if message not in made:
            made.append(message)
    return made


@pytest.mark.parametrize("name", MESSAGES)
def test_the_bytes_of_a_message_mean_what_they_did(name):
    golden = json.loads((GOLDEN / f"{name}.json").read_text())
    for each in golden:
        sent = bytes.fromhex(each["bytes"])
        read = MESSAGES[name].FromString(sent)
        assert json_format.MessageToDict(read, preserving_proto_field_name=True) == each["says"]
        written = json_format.ParseDict(each["says"], MESSAGES[name]())
        assert written.SerializeToString(deterministic=True) == sent


@pytest.mark.parametrize("name", MESSAGES)
def test_a_golden_file_has_every_field(name):
    golden = json.loads((GOLDEN / f"{name}.json").read_text())
    sent = [bytes.fromhex(each["bytes"]) for each in golden]
    assert [each.SerializeToString(deterministic=True) for each in messages(name)] == sent


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for each in MESSAGES:
        said = [
            {
                "bytes": message.SerializeToString(deterministic=True).hex(),
                "says": json_format.MessageToDict(message, preserving_proto_field_name=True),
            }
            for message in messages(each)
        ]
        text = json.dumps(said, indent=1, ensure_ascii=False)
        (GOLDEN / f"{each}.json").write_text(text + "\n", encoding="utf-8")
