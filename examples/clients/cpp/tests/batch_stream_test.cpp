// The stream against workers that do what a real one rarely does.
#include "batch_stream.h"

#include <atomic>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "check.h"
#include "worker_status.h"

using namespace twinhead;
using Texts = std::vector<std::string>;

namespace {

using Stream = grpc::ServerReaderWriter<v1::StreamInferResponse, v1::StreamInferRequest>;
// What a worker does with one stream; the first has number 1.
using Behaviour = std::function<grpc::Status(Stream& stream, int number)>;

class FakeWorker : public v1::InferenceService::Service {
 public:
  explicit FakeWorker(Behaviour behaviour) : behaviour_(std::move(behaviour)) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("localhost:0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
  }
  ~FakeWorker() override { server_->Shutdown(std::chrono::system_clock::now()); }

  grpc::Status StreamInfer(grpc::ServerContext*, Stream* stream) override {
    return behaviour_(*stream, ++streams_);
  }

  Connection connection() const {
    Connection connection;
    connection.target = "localhost:" + std::to_string(port_);
    return connection;
  }
  int streams() const { return streams_; }

 private:
  Behaviour behaviour_;
  int port_ = 0;
  std::atomic<int> streams_{0};
  std::unique_ptr<grpc::Server> server_;
};

v1::InferRequest batch(const std::string& text) {
  v1::InferRequest request;
  request.add_sentences(text);
  return request;
}

Texts numbers(int count) {
  Texts texts;
  for (int number = 0; number < count; ++number) texts.push_back(std::to_string(number));
  return texts;
}

// Answers with the batch's own text, so that a mixed-up answer shows.
void answer(Stream& stream, const v1::StreamInferRequest& request) {
  v1::StreamInferResponse response;
  response.set_batch_id(request.batch_id());
  response.mutable_response()->set_model_version(request.request().sentences(0));
  stream.Write(response);
}

grpc::Status answer_all(Stream& stream) {
  v1::StreamInferRequest request;
  while (stream.Read(&request)) answer(stream, request);
  return grpc::Status::OK;
}

google::rpc::Status queue_full() {
  return worker_status(grpc::StatusCode::RESOURCE_EXHAUSTED, "full", "QUEUE_FULL",
                       std::chrono::milliseconds(20));
}

// Sends texts, a batch each, and returns what the answers say.
Texts send_all(BatchStream& stream, const Texts& texts) {
  std::thread sender([&] {
    for (const std::string& text : texts) {
      if (!stream.send(batch(text))) return;
    }
    stream.finish();
  });
  Texts answers;
  try {
    while (const auto answered = stream.receive()) {
      const std::string version(answered->response.response().model_version());
      CHECK_EQUAL(answered->request->request().sentences(0), version);
      answers.push_back(version);
    }
  } catch (...) {
    stream.cancel();
    sender.join();
    throw;
  }
  sender.join();
  return answers;
}

Texts send_all(const FakeWorker& worker, const Texts& texts, std::size_t in_flight) {
  Client client(worker.connection());
  BatchStream stream(client, in_flight);
  return send_all(stream, texts);
}

}  // namespace

TEST(answers_come_in_the_order_of_batches) {
  FakeWorker worker([](Stream& stream, int) {
    std::vector<v1::StreamInferRequest> requests(4);
    for (auto& request : requests) stream.Read(&request);
    for (auto request = requests.rbegin(); request != requests.rend(); ++request) {
      answer(stream, *request);
    }
    return answer_all(stream);
  });
  CHECK(send_all(worker, numbers(50), 4) == numbers(50));
  CHECK_EQUAL(worker.streams(), 1);
}

TEST(no_more_than_so_many_are_in_flight) {
  std::atomic<int> answered{0};
  std::atomic<int> most{0};
  FakeWorker worker([&](Stream& stream, int) {
    v1::StreamInferRequest request;
    for (int read = 1; stream.Read(&request); ++read) {
      if (read - answered > most) most = read - answered;
      if (read % 3 != 0 && read < 30) continue;  // the third is answered with those before it
      for (; answered < read; ++answered) {
        v1::StreamInferRequest earlier = request;
        earlier.set_batch_id(std::to_string(answered));
        earlier.mutable_request()->set_sentences(0, std::to_string(answered));
        answer(stream, earlier);
      }
    }
    return grpc::Status::OK;
  });
  CHECK(send_all(worker, numbers(30), 3) == numbers(30));
  CHECK_EQUAL(most.load(), 3);
}

TEST(what_a_lost_stream_left_is_sent_again) {
  std::vector<std::string> second;
  FakeWorker worker([&](Stream& stream, int number) {
    v1::StreamInferRequest request;
    if (number == 1) {
      for (int each = 0; each < 4; ++each) {
        stream.Read(&request);
        if (each != 1) answer(stream, request);
      }
      return grpc::Status(grpc::StatusCode::UNAVAILABLE, "gone");
    }
    while (stream.Read(&request)) {
      second.push_back(request.batch_id());
      answer(stream, request);
    }
    return grpc::Status::OK;
  });
  CHECK(send_all(worker, numbers(10), 4) == numbers(10));
  CHECK_EQUAL(worker.streams(), 2);
  CHECK_EQUAL(second.front(), "1");  // and 0, 2 and 3 not again
  CHECK_EQUAL(second.size(), 7u);
}

TEST(a_stream_that_ends_well_too_soon_is_a_lost_one) {
  FakeWorker worker([](Stream& stream, int number) {
    if (number > 1) return answer_all(stream);
    v1::StreamInferRequest request;
    stream.Read(&request);
    answer(stream, request);
    return grpc::Status::OK;
  });
  CHECK(send_all(worker, numbers(10), 3) == numbers(10));
}

TEST(a_full_worker_is_asked_again) {
  FakeWorker worker([](Stream& stream, int number) {
    if (number > 2) return answer_all(stream);
    return grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "full",
                        queue_full().SerializeAsString());
  });
  CHECK(send_all(worker, numbers(10), 3) == numbers(10));
  CHECK_EQUAL(worker.streams(), 3);
}

TEST(a_batch_that_is_refused_as_too_many_is_sent_again_on_its_stream) {
  std::atomic<int> refused{0};
  FakeWorker worker([&](Stream& stream, int) {
    v1::StreamInferRequest request;
    while (stream.Read(&request)) {
      if (request.batch_id() == "2" && refused < 3) {
        ++refused;
        v1::StreamInferResponse response;
        response.set_batch_id("2");
        *response.mutable_error() = queue_full();
        stream.Write(response);
      } else {
        answer(stream, request);
      }
    }
    return grpc::Status::OK;
  });
  CHECK(send_all(worker, numbers(3), 2) == numbers(3));  // it is the last one, too
  CHECK_EQUAL(worker.streams(), 1);
  CHECK_EQUAL(refused.load(), 3);
}

TEST(other_errors_in_band_are_answers) {
  FakeWorker worker([](Stream& stream, int) {
    v1::StreamInferRequest request;
    while (stream.Read(&request)) {
      v1::StreamInferResponse response;
      response.set_batch_id(request.batch_id());
      response.mutable_error()->set_code(grpc::StatusCode::INVALID_ARGUMENT);
      stream.Write(response);
    }
    return grpc::Status::OK;
  });
  Client client(worker.connection());
  BatchStream stream(client, 2);
  stream.send(batch("a"));
  stream.finish();
  CHECK(stream.receive()->response.has_error());
  CHECK(!stream.receive());
}

TEST(answers_to_nothing_are_left_alone) {
  FakeWorker worker([](Stream& stream, int) {
    v1::StreamInferRequest request;
    for (const char* id : {"", "x", "99", "-1"}) {
      request.set_batch_id(id);
      request.mutable_request()->clear_sentences();
      request.mutable_request()->add_sentences("wrong");
      answer(stream, request);
    }
    while (stream.Read(&request)) {
      answer(stream, request);
      answer(stream, request);
    }
    return grpc::Status::OK;
  });
  CHECK(send_all(worker, numbers(10), 3) == numbers(10));
}

TEST(errors_that_last_are_thrown) {
  FakeWorker worker([](Stream&, int) {
    return grpc::Status(grpc::StatusCode::PERMISSION_DENIED, "not you");
  });
  CHECK_THROWS(send_all(worker, numbers(10), 3), RpcError, "PERMISSION_DENIED: not you");
  CHECK_EQUAL(worker.streams(), 1);
}

TEST(where_no_worker_was_none_is_waited_for) {
  Connection connection;
  connection.target = "localhost:1";
  Client client(connection);
  BatchStream stream(client, 3);
  try {
    send_all(stream, numbers(10));
    CHECK(!"nothing was thrown");
  } catch (const RpcError& error) {
    CHECK(error.code() == grpc::StatusCode::UNAVAILABLE);
  }
}

TEST(without_batches_there_is_no_stream) {
  FakeWorker worker([](Stream& stream, int) { return answer_all(stream); });
  CHECK(send_all(worker, {}, 3).empty());
  CHECK_EQUAL(worker.streams(), 0);
}

// Whoever writes all before reading would wait here for ever: neither side's buffers hold this.
TEST(large_messages_in_both_directions_do_not_block_each_other) {
  constexpr int count = 24;
  FakeWorker worker([](Stream& stream, int) {
    v1::StreamInferRequest request;
    const std::string large(2 << 20, 'x');
    while (stream.Read(&request)) {
      v1::StreamInferResponse response;
      response.set_batch_id(request.batch_id());
      response.mutable_response()->set_model_version(large);
      stream.Write(response);  // reads no further until it is taken
    }
    return grpc::Status::OK;
  });
  Client client(worker.connection());
  BatchStream stream(client, count);
  std::thread sender([&] {
    for (int each = 0; each < count; ++each) stream.send(batch(std::string(2 << 20, 'y')));
    stream.finish();
  });
  int received = 0;
  while (stream.receive()) ++received;
  sender.join();
  CHECK_EQUAL(received, count);
}

TEST(cancel_wakes_both_sides) {
  FakeWorker worker([](Stream& stream, int) {
    v1::StreamInferRequest request;
    while (stream.Read(&request)) continue;  // and never answers
    return grpc::Status::OK;
  });
  Client client(worker.connection());
  BatchStream stream(client, 1);
  stream.send(batch("a"));
  std::thread sender([&] { CHECK(!stream.send(batch("b"))); });
  std::thread canceller([&] { stream.cancel(); });
  CHECK_THROWS(stream.receive(), RpcError, "CANCELLED: the stream was cancelled");
  sender.join();
  canceller.join();
}

TEST(the_deadline_ends_a_silent_stream) {
  FakeWorker worker([](Stream& stream, int) {
    v1::StreamInferRequest request;
    while (stream.Read(&request)) continue;
    return grpc::Status::OK;
  });
  Connection connection = worker.connection();
  connection.deadline = Clock::now() + std::chrono::milliseconds(200);
  Client client(connection);
  BatchStream stream(client, 1);
  stream.send(batch("a"));
  CHECK_THROWS(stream.receive(), RpcError, "DEADLINE_EXCEEDED: Deadline Exceeded");
}

TEST(the_deadline_ends_the_wait_for_a_batch) {
  FakeWorker worker([](Stream& stream, int) { return answer_all(stream); });
  Connection connection = worker.connection();
  connection.deadline = Clock::now() + std::chrono::milliseconds(50);
  Client client(connection);
  BatchStream stream(client, 1);
  CHECK_THROWS(stream.receive(), RpcError, "DEADLINE_EXCEEDED: Deadline Exceeded");
  CHECK_EQUAL(worker.streams(), 0);
}

TEST(an_idle_stream_that_is_lost_is_opened_again_when_needed) {
  FakeWorker worker([](Stream& stream, int number) {
    v1::StreamInferRequest request;
    if (number > 1) return answer_all(stream);
    stream.Read(&request);
    answer(stream, request);
    return grpc::Status(grpc::StatusCode::UNAVAILABLE, "draining");
  });
  Client client(worker.connection());
  BatchStream stream(client, 1);
  stream.send(batch("a"));
  CHECK_EQUAL(stream.receive()->response.response().model_version(), "a");
  std::thread sender([&] {
    stream.send(batch("b"));
    stream.finish();
  });
  CHECK_EQUAL(stream.receive()->response.response().model_version(), "b");
  CHECK(!stream.receive());
  sender.join();
}
