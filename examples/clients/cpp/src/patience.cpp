#include "patience.h"

#include <algorithm>

namespace twinhead {

std::optional<Clock::time_point> Patience::try_again_at(const RpcError& error,
                                                        Clock::time_point now) {
  if (!may_pass(error)) return std::nullopt;
  if (!give_up_at_) give_up_at_ = now + std::chrono::duration_cast<Clock::duration>(kGiveUpAfter);
  if (now >= *give_up_at_) return std::nullopt;

  // A worker that says when to come back is not asked sooner, and hardly later.
  std::uniform_real_distribution<double> factor(error.retry_after() ? 1 : 1 - kSpread, 1 + kSpread);
  // No pause is longer than the patience, whatever a worker says; it would overflow a clock, too.
  const Seconds pause = std::min(error.retry_after().value_or(pause_), kGiveUpAfter);
  if (!error.retry_after()) pause_ = std::min(pause_ * 2, kLongestPause);
  const auto wait = std::chrono::duration_cast<Clock::duration>(pause * factor(random_));
  return std::min(now + wait, *give_up_at_);
}

void Patience::answered() {
  reached_ = true;
  pause_ = kFirstPause;
  give_up_at_.reset();
}

bool Patience::may_pass(const RpcError& error) const {
  switch (error.code()) {
    case grpc::StatusCode::RESOURCE_EXHAUSTED:
      return error.reason() == "QUEUE_FULL";  // else a message is too large, and stays so
    case grpc::StatusCode::UNAVAILABLE:
      return reached_ || error.reason() == "STARTING";
    case grpc::StatusCode::CANCELLED:
      // Not by this client, which does not ask then: it is what becomes of a call that reaches a
      // worker as it closes.
      return reached_;
    default:
      return false;
  }
}

}  // namespace twinhead
