// When to try again, and when to give up.
#pragma once

#include <chrono>
#include <optional>
#include <random>

#include "errors.h"

namespace twinhead {

using Clock = std::chrono::steady_clock;

// The waits of one caller. It is told the time, so that tests need not wait.
class Patience {
 public:
  // `reached`: whether a worker has answered before. It is worth waiting for; nobody knows whether
  // there ever is one at an address where none has answered.
  explicit Patience(bool reached) : reached_(reached) {}

  // The time until which to wait before trying again what has failed with `error`; nothing when it
  // makes no sense to try again, or no longer.
  std::optional<Clock::time_point> try_again_at(const RpcError& error, Clock::time_point now);

  // An answer came: all is well, and the next failure is the first again.
  void answered();

 private:
  bool may_pass(const RpcError& error) const;

  bool reached_;
  Seconds pause_ = kFirstPause;
  std::optional<Clock::time_point> give_up_at_;
  std::minstd_rand random_{std::random_device{}()};

  static constexpr Seconds kFirstPause{0.25};
  static constexpr Seconds kLongestPause{5};
  // Longer than a worker takes to be started again.
  static constexpr Seconds kGiveUpAfter{60};
  // Callers that were turned away together do not come back together.
  static constexpr double kSpread = 0.2;
};

}  // namespace twinhead
