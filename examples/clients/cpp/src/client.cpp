#include "client.h"

#include <algorithm>
#include <thread>
#include <utility>

namespace twinhead {
namespace {

grpc::ChannelArguments channel_arguments() {
  grpc::ChannelArguments arguments;
  // gRPC takes 4 MiB by default; a worker that is set to larger requests answers with more.
  arguments.SetMaxReceiveMessageSize(64 * 1024 * 1024);
  // Notice within a minute that the machine at the other end is gone, also when nothing is sent.
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 30'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 20'000);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  // When to try again is decided here; gRPC would hold a worker that is back for gone for up to two
  // minutes.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 250);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1'000);
  // Workers are near; an HTTP proxy from the environment would only be in the way.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  return arguments;
}

std::shared_ptr<grpc::ChannelCredentials> credentials(const Connection& connection) {
  if (!connection.tls) return grpc::InsecureChannelCredentials();
  grpc::SslCredentialsOptions options;
  options.pem_root_certs = connection.roots;
  return grpc::SslCredentials(options);
}

}  // namespace

Client::Client(Connection connection) : connection_(std::move(connection)) {
  const auto channel =
      grpc::CreateCustomChannel(connection_.target, credentials(connection_), channel_arguments());
  inference_ = v1::InferenceService::NewStub(channel);
  models_ = v1::ModelService::NewStub(channel);
}

v1::GetModelResponse Client::model() {
  Patience patience(reached_);
  for (;;) {
    grpc::ClientContext context;
    prepare(context);
    v1::GetModelResponse response;
    const grpc::Status status = models_->GetModel(&context, v1::GetModelRequest(), &response);
    if (status.ok()) {
      reached_ = true;
      return response;
    }
    const RpcError error(status);
    const auto again = patience.try_again_at(error, Clock::now());
    if (!again) throw error;
    // A deadline that passes meanwhile is noticed by the next call.
    std::this_thread::sleep_until(std::min(*again, connection_.deadline.value_or(*again)));
  }
}

void Client::prepare(grpc::ClientContext& context) const {
  if (connection_.deadline) {
    // gRPC wants the time of day, which may be set while we wait: so the time left is what counts.
    const auto left = *connection_.deadline - Clock::now();
    using std::chrono::system_clock;
    context.set_deadline(system_clock::now() +
                         std::chrono::duration_cast<system_clock::duration>(left));
  }
  // Not as call credentials: gRPC sends those over TLS alone, which a worker on this machine may
  // do without.
  if (!connection_.token.empty()) {
    context.AddMetadata("authorization", "Bearer " + connection_.token);
  }
}

}  // namespace twinhead
