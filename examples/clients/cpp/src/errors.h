// What a worker answers in place of results, in a call's status or in band, as an exception.
#pragma once

#include <chrono>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

#include <grpcpp/support/status.h>

namespace google::rpc {
class Status;
}

namespace twinhead {

using Seconds = std::chrono::duration<double>;

// Why there is no answer. `what()` is "CODE (REASON): message".
class RpcError : public std::runtime_error {
 public:
  // Of a call that failed.
  explicit RpcError(const grpc::Status& status);
  // Of a batch that failed.
  explicit RpcError(const google::rpc::Status& status);

  grpc::StatusCode code() const { return code_; }
  // Such as QUEUE_FULL; empty when the error is the transport's, and not the worker's.
  const std::string& reason() const { return reason_; }
  const std::string& message() const { return message_; }
  // How long to wait before another try, if the worker says so.
  std::optional<Seconds> retry_after() const { return retry_after_; }

 private:
  struct Details;
  RpcError(int code, std::string_view message, const Details& details);

  grpc::StatusCode code_;
  std::string message_;
  std::string reason_;
  std::optional<Seconds> retry_after_;
};

// The name of a status code, such as "UNAVAILABLE".
std::string code_name(int code);

}  // namespace twinhead
