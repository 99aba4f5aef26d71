#include "errors.h"

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace twinhead {

// What is known of the details; there may be others.
struct RpcError::Details {
  explicit Details(const google::rpc::Status& status) {
    for (const google::protobuf::Any& detail : status.details()) {
      google::rpc::ErrorInfo info;
      google::rpc::RetryInfo retry;
      if (detail.UnpackTo(&info)) {
        reason = std::string(info.reason());
      } else if (detail.UnpackTo(&retry)) {
        const auto& delay = retry.retry_delay();
        retry_after = Seconds(static_cast<double>(delay.seconds()) + delay.nanos() / 1e9);
      }
    }
  }

  std::string reason;
  std::optional<Seconds> retry_after;
};

namespace {

// gRPC carries the details as bytes. What is no google.rpc.Status is not from a worker.
google::rpc::Status details_of(const grpc::Status& status) {
  google::rpc::Status details;
  if (!details.ParseFromString(status.error_details())) details.Clear();
  return details;
}

std::string describe(int code, std::string_view reason, std::string_view message) {
  std::string text = code_name(code);
  if (!reason.empty()) text.append(" (").append(reason).append(")");
  return text.append(": ").append(message);
}

}  // namespace

RpcError::RpcError(const grpc::Status& status)
    : RpcError(status.error_code(), status.error_message(), Details(details_of(status))) {}

RpcError::RpcError(const google::rpc::Status& status)
    : RpcError(status.code(), status.message(), Details(status)) {}

RpcError::RpcError(int code, std::string_view message, const Details& details)
    : std::runtime_error(describe(code, details.reason, message)),
      code_(static_cast<grpc::StatusCode>(code)),
      message_(message),
      reason_(details.reason),
      retry_after_(details.retry_after) {}

std::string code_name(int code) {
  switch (code) {
    case grpc::OK: return "OK";
    case grpc::CANCELLED: return "CANCELLED";
    case grpc::UNKNOWN: return "UNKNOWN";
    case grpc::INVALID_ARGUMENT: return "INVALID_ARGUMENT";
    case grpc::DEADLINE_EXCEEDED: return "DEADLINE_EXCEEDED";
    case grpc::NOT_FOUND: return "NOT_FOUND";
    case grpc::ALREADY_EXISTS: return "ALREADY_EXISTS";
    case grpc::PERMISSION_DENIED: return "PERMISSION_DENIED";
    case grpc::RESOURCE_EXHAUSTED: return "RESOURCE_EXHAUSTED";
    case grpc::FAILED_PRECONDITION: return "FAILED_PRECONDITION";
    case grpc::ABORTED: return "ABORTED";
    case grpc::OUT_OF_RANGE: return "OUT_OF_RANGE";
    case grpc::UNIMPLEMENTED: return "UNIMPLEMENTED";
    case grpc::INTERNAL: return "INTERNAL";
    case grpc::UNAVAILABLE: return "UNAVAILABLE";
    case grpc::DATA_LOSS: return "DATA_LOSS";
    case grpc::UNAUTHENTICATED: return "UNAUTHENTICATED";
    default: return "CODE_" + std::to_string(code);
  }
}

}  // namespace twinhead
