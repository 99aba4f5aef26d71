#include "batches.h"

#include <utility>

#include <google/protobuf/io/coded_stream.h>

namespace twinhead {
namespace {

using google::protobuf::io::CodedOutputStream;

// Of a StreamInferRequest, around the sentences: the batch's id (a tag, a length and 20 digits),
// and the tag and the length (5 bytes at most) of its request.
constexpr std::size_t kEnvelopeBytes = 22 + 6;

// A sentence in a request: a tag, its length, and its bytes.
std::size_t sentence_bytes(std::size_t length) {
  return 1 + CodedOutputStream::VarintSize64(length) + length;
}

// What a request has for its sentences.
std::size_t sentence_room(const v1::InferRequest& wanted, std::size_t request_bytes) {
  const std::size_t taken = kEnvelopeBytes + wanted.ByteSizeLong();
  return request_bytes > taken ? request_bytes - taken : 0;
}

}  // namespace

std::size_t longest_sentence(const v1::InferRequest& wanted, std::size_t request_bytes) {
  const std::size_t room = sentence_room(wanted, request_bytes);
  const std::size_t head = sentence_bytes(room) - room;
  return room > head ? room - head : 0;
}

BatchCutter::BatchCutter(ByteSource source, v1::InferRequest wanted, BatchLimits limits)
    : wanted_(std::move(wanted)),
      limits_(limits),
      lines_(std::move(source), longest_sentence(wanted_, limits.request_bytes),
             limits.request_bytes) {}

std::optional<v1::InferRequest> BatchCutter::next() {
  if (error_) std::rethrow_exception(error_);
  v1::InferRequest request = wanted_;
  const std::size_t room = sentence_room(wanted_, limits_.request_bytes);
  std::size_t used = 0;
  std::size_t count = 0;
  while (count < limits_.sentences) {
    try {
      if (!line_) line_ = lines_.next();
    } catch (const InputError&) {
      if (count == 0) throw;
      error_ = std::current_exception();
      break;
    }
    if (!line_) break;
    used += sentence_bytes(line_->size());
    if (count > 0 && used > room) break;
    request.add_sentences(*std::exchange(line_, std::nullopt));
    ++count;
  }
  if (count == 0) return std::nullopt;
  return request;
}

}  // namespace twinhead
