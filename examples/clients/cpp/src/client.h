// The connection to a worker.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include <grpcpp/grpcpp.h>

#include "patience.h"
#include "twinhead/v1/inference_service.grpc.pb.h"
#include "twinhead/v1/model_service.grpc.pb.h"

namespace twinhead {

// Where a worker is, and what lets a caller in.
struct Connection {
  std::string target = "localhost:50051";  // HOST:PORT, or any name that gRPC resolves
  bool tls = false;
  std::string roots;  // certificates to trust, PEM; empty for the system's
  std::string token;  // bearer token; empty for none
  std::optional<Clock::time_point> deadline;  // of all calls
};

// Calls a worker. Connects when the first call is made.
class Client {
 public:
  explicit Client(Connection connection);

  // Describes the live model. Waits for a worker that is starting.
  // Throws RpcError.
  v1::GetModelResponse model();

 private:
  friend class BatchStream;

  // Gives a call its deadline and the token.
  void prepare(grpc::ClientContext& context) const;

  Connection connection_;
  std::unique_ptr<v1::InferenceService::Stub> inference_;
  std::unique_ptr<v1::ModelService::Stub> models_;
  bool reached_ = false;  // whether a worker has answered
};

}  // namespace twinhead
