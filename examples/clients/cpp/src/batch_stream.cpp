#include "batch_stream.h"

#include <algorithm>
#include <string>
#include <thread>
#include <utility>

namespace twinhead {
namespace {

RpcError local_error(grpc::StatusCode code, const char* message) {
  return RpcError(grpc::Status(code, message));
}

}  // namespace

// One stream of gRPC's. It may be read by one thread and written by another, which is what keeps
// the two sides from waiting for each other: a worker that does not read now still gets rid of its
// answers.
struct BatchStream::Call {
  grpc::ClientContext context;
  std::unique_ptr<grpc::ClientReaderWriter<v1::StreamInferRequest, v1::StreamInferResponse>> stream;
  std::thread writer;
  bool ended = false;  // guarded by mutex_
};

BatchStream::BatchStream(Client& client, std::size_t in_flight)
    : client_(client), in_flight_(in_flight), patience_(client.reached_) {}

BatchStream::~BatchStream() {
  cancel();
  if (call_) close();
}

bool BatchStream::send(v1::InferRequest request) {
  auto message = std::make_shared<v1::StreamInferRequest>();
  *message->mutable_request() = std::move(request);
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return cancelled_ || window_.size() < in_flight_; });
  if (cancelled_) return false;
  message->set_batch_id(std::to_string(first_ + window_.size()));
  window_.push_back({std::move(message), std::nullopt, false});
  changed_.notify_all();
  return true;
}

void BatchStream::finish() {
  const std::lock_guard lock(mutex_);
  finished_ = true;
  changed_.notify_all();
}

void BatchStream::cancel() {
  const std::lock_guard lock(mutex_);
  cancelled_ = true;
  if (call_) call_->context.TryCancel();
  changed_.notify_all();
}

std::optional<BatchStream::Answered> BatchStream::receive() {
  for (;;) {
    if (auto answered = take_first()) return answered;
    if (!call_) {
      if (!wait_for_batch()) return std::nullopt;
      open();
    }
    v1::StreamInferResponse response;
    if (call_->stream->Read(&response)) {
      settle(std::move(response));
    } else {
      recover(close());
    }
  }
}

std::optional<BatchStream::Answered> BatchStream::take_first() {
  const std::lock_guard lock(mutex_);
  if (cancelled_) throw local_error(grpc::StatusCode::CANCELLED, "the stream was cancelled");
  if (window_.empty() || !window_.front().response) return std::nullopt;
  Answered answered{std::move(window_.front().request), *std::move(window_.front().response)};
  window_.pop_front();
  ++first_;
  changed_.notify_all();
  return answered;
}

// A stream is opened when there is something to send: an idle caller needs none.
bool BatchStream::wait_for_batch() {
  std::unique_lock lock(mutex_);
  const auto ready = [&] { return cancelled_ || finished_ || !window_.empty(); };
  if (!client_.connection_.deadline) {
    changed_.wait(lock, ready);
  } else if (!changed_.wait_until(lock, *client_.connection_.deadline, ready)) {
    throw local_error(grpc::StatusCode::DEADLINE_EXCEEDED, "Deadline Exceeded");
  }
  return !window_.empty();
}

void BatchStream::open() {
  auto call = std::make_unique<Call>();
  client_.prepare(call->context);
  {
    // Known before it begins, since that waits for the connection and can be cancelled.
    const std::lock_guard lock(mutex_);
    call_ = std::move(call);
    if (cancelled_) call_->context.TryCancel();
  }
  call_->stream = client_.inference_->StreamInfer(&call_->context);
  call_->writer = std::thread([this, &call = *call_] { write(call); });
}

// Sends what is there to send, until the call ends or all is answered.
void BatchStream::write(Call& call) {
  for (;;) {
    std::shared_ptr<const v1::StreamInferRequest> request;
    {
      std::unique_lock lock(mutex_);
      while (!request) {
        if (call.ended) return;
        Batch* next = next_to_send();
        if (finished_ && all_answered()) {
          break;
        } else if (next && send_at_ <= Clock::now()) {
          next->sent = true;
          request = next->request;
        } else if (next) {
          const auto until = send_at_;  // which may change meanwhile
          changed_.wait_until(lock, until);
        } else {
          changed_.wait(lock);
        }
      }
    }
    if (!request) {
      call.stream->WritesDone();
      return;
    }
    if (!call.stream->Write(*request)) return;  // the call is over, and reading tells why
  }
}

void BatchStream::settle(v1::StreamInferResponse response) {
  std::optional<Clock::time_point> again;
  if (response.has_error()) {
    const RpcError error(response.error());
    if (error.reason() == "QUEUE_FULL") {
      again = patience_.try_again_at(error, Clock::now());
      if (!again) throw error;
    }
  }
  if (!again) patience_.answered();

  const std::lock_guard lock(mutex_);
  const auto batch = std::find_if(window_.begin(), window_.end(), [&](const Batch& each) {
    return each.request->batch_id() == response.batch_id();
  });
  if (batch == window_.end() || batch->response) return;  // not one that is waited for
  if (again) {
    batch->sent = false;
    send_at_ = *again;
  } else {
    batch->response = std::move(response);
  }
  changed_.notify_all();
}

// Takes leave of a call that is over, or cancelled, and tells how it ended.
grpc::Status BatchStream::close() {
  {
    const std::lock_guard lock(mutex_);
    call_->ended = true;
    changed_.notify_all();
  }
  call_->writer.join();
  const grpc::Status status = call_->stream->Finish();
  const std::lock_guard lock(mutex_);
  call_.reset();
  return status;
}

// Waits until it makes sense to open another stream.
void BatchStream::recover(const grpc::Status& status) {
  std::unique_lock lock(mutex_);
  if (cancelled_ || all_answered()) return;
  for (Batch& batch : window_) batch.sent = false;
  const RpcError error(status.ok() ? grpc::Status(grpc::StatusCode::UNAVAILABLE,
                                                  "the worker ended the stream too soon")
                                   : status);
  const auto again = patience_.try_again_at(error, Clock::now());
  if (!again) throw error;
  // A deadline that passes meanwhile is noticed by the next call.
  const auto until = std::min(*again, client_.connection_.deadline.value_or(*again));
  changed_.wait_until(lock, until, [&] { return cancelled_; });
}

BatchStream::Batch* BatchStream::next_to_send() {
  const auto found = std::find_if(window_.begin(), window_.end(), [](const Batch& batch) {
    return !batch.sent && !batch.response;
  });
  return found == window_.end() ? nullptr : &*found;
}

bool BatchStream::all_answered() const {
  return std::all_of(window_.begin(), window_.end(),
                     [](const Batch& batch) { return batch.response.has_value(); });
}

}  // namespace twinhead
