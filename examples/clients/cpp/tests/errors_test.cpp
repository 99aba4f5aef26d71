#include "errors.h"

#include <string>

#include "check.h"
#include "worker_status.h"

using namespace twinhead;

namespace {

google::rpc::Status queue_full() {
  google::rpc::Status status =
      worker_status(grpc::StatusCode::RESOURCE_EXHAUSTED, "the worker is full", "QUEUE_FULL",
                    std::chrono::milliseconds(1500));
  CHECK(status.add_details()->PackFrom(google::rpc::BadRequest()));  // which is not read
  return status;
}

}  // namespace

TEST(errors_of_calls_have_their_details) {
  const RpcError error(grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "the worker is full",
                                    queue_full().SerializeAsString()));
  CHECK_EQUAL(error.what(), std::string("RESOURCE_EXHAUSTED (QUEUE_FULL): the worker is full"));
  CHECK(error.code() == grpc::StatusCode::RESOURCE_EXHAUSTED);
  CHECK_EQUAL(error.reason(), "QUEUE_FULL");
  CHECK_EQUAL(error.message(), "the worker is full");
  CHECK_EQUAL(error.retry_after()->count(), 1.5);
}

TEST(errors_in_band_have_their_details) {
  const RpcError error(queue_full());
  CHECK_EQUAL(error.what(), std::string("RESOURCE_EXHAUSTED (QUEUE_FULL): the worker is full"));
  CHECK_EQUAL(error.retry_after()->count(), 1.5);
}

TEST(errors_of_the_transport_have_no_reason) {
  const RpcError error(grpc::Status(grpc::StatusCode::UNAVAILABLE, "connection refused"));
  CHECK_EQUAL(error.what(), std::string("UNAVAILABLE: connection refused"));
  CHECK_EQUAL(error.reason(), "");
  CHECK(!error.retry_after());
}

TEST(details_that_are_none_are_left_alone) {
  const RpcError error(grpc::Status(grpc::StatusCode::INTERNAL, "odd", "\xFF\xFF no message"));
  CHECK_EQUAL(error.what(), std::string("INTERNAL: odd"));
}

TEST(codes_that_gRPC_does_not_have_are_numbers) { CHECK_EQUAL(code_name(99), "CODE_99"); }
