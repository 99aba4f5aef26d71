#include "patience.h"

#include <optional>
#include <string>

#include "check.h"
#include "worker_status.h"

using namespace twinhead;

namespace {

const RpcError kGone(grpc::Status(grpc::StatusCode::UNAVAILABLE, "nobody there"));

RpcError told(grpc::StatusCode code, const std::string& reason,
              std::optional<std::chrono::milliseconds> retry_after = std::nullopt) {
  return RpcError(worker_status(code, "", reason, retry_after));
}

}  // namespace

TEST(pauses_double_up_to_five_seconds) {
  Patience patience(true);
  const Clock::time_point now{};
  for (const double expected : {0.25, 0.5, 1.0, 2.0, 4.0, 5.0, 5.0}) {
    const Seconds pause = *patience.try_again_at(kGone, now) - now;
    CHECK(pause.count() >= 0.8 * expected - 1e-6 && pause.count() <= 1.2 * expected + 1e-6);
  }
}

TEST(pauses_vary) {
  const Clock::time_point now{};
  int different = 0;
  for (int each = 0; each < 20; ++each) {
    different += Patience(true).try_again_at(kGone, now) != Patience(true).try_again_at(kGone, now);
  }
  CHECK(different > 10);
}

TEST(a_worker_that_says_when_is_not_asked_sooner) {
  const RpcError full = told(grpc::StatusCode::RESOURCE_EXHAUSTED, "QUEUE_FULL",
                             std::chrono::milliseconds(1500));
  const Clock::time_point now{};
  Patience patience(true);
  for (int each = 0; each < 100; ++each) {
    const Seconds pause = *patience.try_again_at(full, now) - now;
    CHECK(pause.count() >= 1.5 && pause.count() <= 1.8 + 1e-6);
  }
}

TEST(an_answer_begins_anew) {
  Patience patience(true);
  const Clock::time_point now{};
  for (int each = 0; each < 5; ++each) patience.try_again_at(kGone, now);
  patience.answered();
  const auto later = now + std::chrono::seconds(70);
  const Seconds pause = *patience.try_again_at(kGone, later) - later;
  CHECK(pause.count() <= 0.3 + 1e-6);
}

TEST(after_a_minute_it_gives_up) {
  Patience patience(true);
  const Clock::time_point start{};
  CHECK(patience.try_again_at(kGone, start).has_value());
  CHECK(patience.try_again_at(kGone, start + std::chrono::seconds(59)) <=
        start + std::chrono::seconds(60));
  CHECK(!patience.try_again_at(kGone, start + std::chrono::seconds(60)));
}

TEST(no_pause_is_longer_than_the_patience) {
  const RpcError error =
      told(grpc::StatusCode::UNAVAILABLE, "DRAINING", std::chrono::hours(24 * 365 * 1000));
  Patience patience(true);
  const Clock::time_point now{};
  CHECK(patience.try_again_at(error, now) == now + std::chrono::seconds(60));
}

TEST(nobody_is_waited_for_where_none_has_answered) {
  const Clock::time_point now{};
  const RpcError starting = told(grpc::StatusCode::UNAVAILABLE, "STARTING",
                                 std::chrono::seconds(2));
  const RpcError draining = told(grpc::StatusCode::UNAVAILABLE, "DRAINING");
  const RpcError full = told(grpc::StatusCode::RESOURCE_EXHAUSTED, "QUEUE_FULL");
  CHECK(!Patience(false).try_again_at(kGone, now));
  CHECK(!Patience(false).try_again_at(draining, now));
  CHECK(Patience(false).try_again_at(starting, now).has_value());
  CHECK(Patience(false).try_again_at(full, now).has_value());
  CHECK(Patience(true).try_again_at(draining, now).has_value());
  Patience patience(false);
  patience.answered();
  CHECK(patience.try_again_at(kGone, now).has_value());
}

TEST(a_call_that_reached_a_closing_worker_is_repeated) {
  const RpcError cut(grpc::Status(grpc::StatusCode::CANCELLED, "CANCELLED"));
  CHECK(Patience(true).try_again_at(cut, {}).has_value());
  CHECK(!Patience(false).try_again_at(cut, {}));
}

TEST(other_errors_do_not_pass) {
  const Clock::time_point now{};
  for (const auto code : {grpc::StatusCode::INVALID_ARGUMENT, grpc::StatusCode::UNAUTHENTICATED,
                          grpc::StatusCode::DEADLINE_EXCEEDED, grpc::StatusCode::INTERNAL,
                          grpc::StatusCode::RESOURCE_EXHAUSTED /* a message that is too large */}) {
    CHECK(!Patience(true).try_again_at(RpcError(grpc::Status(code, "")), now));
  }
}
