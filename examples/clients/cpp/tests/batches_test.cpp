#include "batches.h"

#include <algorithm>
#include <string>

#include "check.h"

using namespace twinhead;

namespace {

ByteSource text_source(std::string text) {
  return [text = std::move(text), read = std::size_t{0}](char* data, std::size_t size) mutable {
    const std::size_t count = text.copy(data, size, read);
    read += count;
    return count;
  };
}

v1::InferRequest some_wishes() {
  v1::InferRequest wanted;
  wanted.mutable_outputs()->add_tasks("topic");
  wanted.set_repeatable(true);
  return wanted;
}

// The message that a request becomes, with the longest id that there is.
std::size_t message_bytes(const v1::InferRequest& request) {
  v1::StreamInferRequest message;
  message.set_batch_id("18446744073709551615");
  *message.mutable_request() = request;
  return message.ByteSizeLong();
}

}  // namespace

TEST(batches_hold_so_many_lines) {
  BatchCutter batches(text_source("a\nb\nc\nd\ne"), some_wishes(), {2, 1000});
  auto request = batches.next();
  CHECK_EQUAL(request->sentences_size(), 2);
  CHECK_EQUAL(request->sentences(1), "b");
  CHECK_EQUAL(request->outputs().tasks(0), "topic");
  CHECK(request->repeatable());
  CHECK_EQUAL(batches.next()->sentences(0), "c");
  request = batches.next();
  CHECK_EQUAL(request->sentences_size(), 1);
  CHECK_EQUAL(request->sentences(0), "e");
  CHECK(!batches.next());
  CHECK(!batches.next());
}

TEST(no_lines_are_no_batches) {
  BatchCutter batches(text_source(""), some_wishes(), {2, 1000});
  CHECK(!batches.next());
}

TEST(batches_are_cut_shorter_when_they_would_be_too_large) {
  const std::size_t limit = 500;
  std::string text;
  for (int line = 0; line < 300; ++line) text += std::string(line % 97, 'x') + "\n";
  BatchCutter batches(text_source(text), some_wishes(), {64, limit});
  int lines = 0;
  std::size_t largest = 0;
  while (const auto request = batches.next()) {
    lines += request->sentences_size();
    CHECK(message_bytes(*request) <= limit);
    largest = std::max(largest, message_bytes(*request));
  }
  CHECK_EQUAL(lines, 300);
  CHECK(largest > limit - 100);
}

TEST(the_longest_sentence_just_fits) {
  for (const std::size_t limit : {150u, 200u, 16'500u, 3'000'000u}) {
    v1::InferRequest request = some_wishes();
    const std::size_t longest = longest_sentence(request, limit);
    request.add_sentences(std::string(longest, 'x'));
    CHECK(message_bytes(request) <= limit);
    CHECK(message_bytes(request) + 6 >= limit);
  }
  CHECK_EQUAL(longest_sentence(some_wishes(), 10), 0u);
}

TEST(lines_before_a_wrong_one_are_given_out) {
  BatchCutter batches(text_source("a\nb\nc\n\xFF\nd\n"), some_wishes(), {2, 1000});
  CHECK_EQUAL(batches.next()->sentences_size(), 2);
  const auto request = batches.next();
  CHECK_EQUAL(request->sentences_size(), 1);
  CHECK_EQUAL(request->sentences(0), "c");
  CHECK_THROWS(batches.next(), InputError, "line 4 is not UTF-8; convert the text first");
}

TEST(a_line_that_fits_no_request_is_refused) {
  BatchCutter batches(text_source("a\n" + std::string(300, 'x')), some_wishes(), {64, 300});
  CHECK_EQUAL(batches.next()->sentences_size(), 1);
  CHECK_THROWS(batches.next(), InputError, "line 2 is longer than a request may be (300 bytes)");
}
