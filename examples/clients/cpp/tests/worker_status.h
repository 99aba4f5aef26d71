// A status as a worker makes it.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include <grpcpp/support/status.h>

#include "check.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

inline google::rpc::Status worker_status(
    grpc::StatusCode code, const std::string& message, const std::string& reason,
    std::optional<std::chrono::milliseconds> retry_after = std::nullopt) {
  google::rpc::Status status;
  status.set_code(code);
  status.set_message(message);
  google::rpc::ErrorInfo info;
  info.set_reason(reason);
  CHECK(status.add_details()->PackFrom(info));
  if (retry_after) {
    google::rpc::RetryInfo retry;
    retry.mutable_retry_delay()->set_seconds(retry_after->count() / 1000);
    retry.mutable_retry_delay()->set_nanos(
        static_cast<int>(retry_after->count() % 1000 * 1'000'000));
    CHECK(status.add_details()->PackFrom(retry));
  }
  return status;
}
