// Many batches to a worker, over as many streams as it takes.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>

#include "client.h"

namespace twinhead {

// Batches in, answers out in their order. One thread sends and another receives; `cancel` may be
// called from any. When the worker is full, goes away or drains, what is unanswered is sent again.
class BatchStream {
 public:
  struct Answered {
    std::shared_ptr<const v1::StreamInferRequest> request;
    v1::StreamInferResponse response;
  };

  // `in_flight`: batches that were sent and not received. It bounds memory, and two or more keep
  // the worker busy. The client must outlive the stream.
  BatchStream(Client& client, std::size_t in_flight);
  // Cancels what is under way. No other thread may be in `send`.
  ~BatchStream();
  BatchStream(const BatchStream&) = delete;
  BatchStream& operator=(const BatchStream&) = delete;

  // Sends a batch when there is room for it. False when the stream is cancelled: then stop.
  bool send(v1::InferRequest request);

  // No more batches will come.
  void finish();

  // Waits for the next answer, which may be that the batch failed; nothing after the last one.
  // Throws RpcError when the worker stays away, refuses the stream, or the deadline passes.
  std::optional<Answered> receive();

  // Makes `send` return false and `receive` throw.
  void cancel();

 private:
  struct Call;
  struct Batch {
    std::shared_ptr<const v1::StreamInferRequest> request;
    std::optional<v1::StreamInferResponse> response;
    bool sent = false;  // on the present call
  };

  std::optional<Answered> take_first();
  bool wait_for_batch();
  void open();
  void write(Call& call);
  void settle(v1::StreamInferResponse response);
  grpc::Status close();
  void recover(const grpc::Status& status);
  Batch* next_to_send();
  bool all_answered() const;

  Client& client_;
  const std::size_t in_flight_;
  // Of the thread that receives; `call_` is null between two streams.
  Patience patience_;
  std::unique_ptr<Call> call_;

  std::mutex mutex_;  // guards what follows, and the setting of call_
  std::condition_variable changed_;
  std::deque<Batch> window_;  // batches that were not received, in their order
  std::uint64_t first_ = 0;   // number of the first of them
  Clock::time_point send_at_{};  // a worker that was full wants nothing before
  bool finished_ = false;
  bool cancelled_ = false;
};

}  // namespace twinhead
