"""What tritonclient, as it is, gets from a worker; a process of its own.

Its generated code is of the package `inference`, as ours is, and one process takes one of them.

python tests/triton_calls.py TARGET MODEL [TOKEN]     print it as JSON
"""

import asyncio
import json
import queue
import sys

import numpy as np
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from tritonclient.grpc import service_pb2

SENTENCES = ["What a match, Ähm!", "", "w12 w3 🦊 w77", "Shares fell on Monday."]


def texts(*shape: int) -> list[triton.InferInput]:
    tensor = triton.InferInput("text", list(shape), "BYTES")
    return [tensor.set_data_from_numpy(np.array(SENTENCES, dtype=np.object_).reshape(shape))]


def wanted(*names: str) -> list[triton.InferRequestedOutput]:
    return [triton.InferRequestedOutput(name) for name in names]


def plain(result: triton.InferResult) -> dict:
    """An answer, its arrays as lists."""
    response = result.get_response()
    outputs = {}
    for output in response.outputs:
        array = result.as_numpy(output.name)
        values = array.tolist()
        if output.datatype == "BYTES":
            values = [value.decode() for value in values]
        outputs[output.name] = {"shape": list(array.shape), "values": values}
    return {
        "model": [response.model_name, response.model_version],
        "id": response.id,
        "parameters": {name: value.int64_param for name, value in response.parameters.items()},
        "outputs": outputs,
    }


def failure(call) -> list[str]:
    try:
        call()
    except triton.InferenceServerException as error:
        return [error.status(), error.message()]
    raise AssertionError("it did not fail")


def sync_calls(target: str, model: str, headers: dict) -> dict:
    n = len(SENTENCES)
    exact = {"repeatable": True}
    with triton.InferenceServerClient(target) as client:
        found = {
            "live": client.is_server_live(),
            "ready": client.is_server_ready(),
            "model ready": client.is_model_ready(model),
            "others ready": [client.is_model_ready("x"), client.is_model_ready(model, "x")],
            "server": client.get_server_metadata(headers=headers, as_json=True),
            "metadata": client.get_model_metadata(model, headers=headers, as_json=True),
        }
        answers: queue.Queue = queue.Queue()
        client.async_infer(
            model,
            texts(n),
            lambda result, error: answers.put((result, error)),
            headers=headers,
            parameters=exact,
        )
        result, error = answers.get(timeout=60)
        assert error is None, error

        def infer(inputs=None, name=model, **options):
            return client.infer(name, inputs or texts(n), headers=headers, **options)

        return found | {
            "all": plain(infer(request_id="a 1", parameters=exact)),
            "column": plain(infer(texts(n, 1), parameters=exact, client_timeout=60)),
            "async": plain(result),
            "chosen": plain(infer(outputs=wanted("status", "embedding"), parameters=exact)),
            "short": plain(
                infer(
                    outputs=wanted("embedding"),
                    parameters={**exact, "dimensions": 3, "normalize": False},
                    priority=1,
                    timeout=1_000_000,
                    compression_algorithm="gzip",
                )
            ),
            "unknown model": failure(lambda: infer(name="x")),
            "unknown version": failure(lambda: infer(model_version="x")),
            "unknown output": failure(lambda: infer(outputs=wanted("x"))),
            "sequence": failure(lambda: infer(sequence_id=5, sequence_start=True)),
            "wrong shape": failure(lambda: infer(texts(2, n // 2))),
            "unknown metadata": failure(lambda: client.get_model_metadata("x", headers=headers)),
        }


async def async_calls(target: str, model: str, headers: dict) -> dict:
    async with triton_aio.InferenceServerClient(target) as client:
        result = await client.infer(
            model, texts(len(SENTENCES)), headers=headers, parameters={"repeatable": True}
        )
        return {
            "aio": plain(result),
            "aio ready": await client.is_model_ready(model, result.get_response().model_version),
            "aio metadata": await client.get_model_metadata(model, headers=headers, as_json=True),
        }


def messages() -> dict:
    """Fields of tritonclient's messages, by their names: number, type, and whether repeated."""
    return {
        name: {
            field.name: [field.number, field.type, field.is_repeated] for field in message.fields
        }
        for outer in service_pb2.DESCRIPTOR.message_types_by_name.values()
        for name, message in [
            (outer.name, outer),
            *((f"{outer.name}.{inner.name}", inner) for inner in outer.nested_types),
        ]
    }


def main() -> None:
    target, model, *token = sys.argv[1:]
    headers = {"authorization": f"Bearer {token[0]}"} if token else {}
    found = sync_calls(target, model, headers)
    found |= asyncio.run(async_calls(target, model, headers))
    print(json.dumps(found | {"sentences": SENTENCES, "messages": messages()}))


if __name__ == "__main__":
    main()
