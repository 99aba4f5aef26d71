"""The window of unanswered batches, without a network."""

from twinhead.client.requests import InferOptions
from twinhead.client.stream_window import StreamWindow
from twinhead.v1 import inference_service_pb2 as pb


def window_of(batches, in_flight=10):
    return StreamWindow(batches, InferOptions(), in_flight, "host:1")


def answer(request, version="v"):
    return pb.StreamInferResponse(
        batch_id=request.batch_id, response=pb.InferResponse(model_version=version)
    )


def test_answers_are_given_out_in_order():
    window = window_of([["a"], ["b"], ["c"]])
    requests = list(window.requests())
    window.settle(answer(requests[2], "third"))
    assert list(window.results()) == []
    window.settle(answer(requests[0], "first"))
    assert [result.model_version for result in window.results()] == ["first"]
    window.settle(answer(requests[1], "second"))
    assert [result.model_version for result in window.results()] == ["second", "third"]
    assert window.done


def test_what_is_unanswered_is_sent_again_on_a_new_stream():
    window = window_of([["a"], ["b"], ["c"], ["d"]], in_flight=2)
    first = window.requests()
    sent = [next(first), next(first)]
    window.settle(answer(sent[0]))
    list(window.results())
    window.stop()
    assert list(first) == []  # the broken stream writes no more
    again = window.requests()
    resent, new = next(again), next(again)
    assert [list(r.request.sentences) for r in (resent, new)] == [["b"], ["c"]]
    assert resent.batch_id == sent[1].batch_id


def test_a_batch_answered_twice_counts_once():
    window = window_of([["a"]])
    (request,) = window.requests()
    window.settle(answer(request, "first"))
    window.settle(answer(request, "again"))
    assert [result.model_version for result in window.results()] == ["first"]
    assert window.done
