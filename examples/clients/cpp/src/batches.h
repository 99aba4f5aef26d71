// Lines as requests.
#pragma once

#include <cstddef>
#include <exception>
#include <optional>
#include <string>

#include "lines.h"
#include "twinhead/v1/inference_service.pb.h"

namespace twinhead {

// What a request may hold.
struct BatchLimits {
  std::size_t sentences;
  std::size_t request_bytes;  // of the message on the stream
};

// The longest sentence that a request has room for, which asks for what `wanted` does.
std::size_t longest_sentence(const v1::InferRequest& wanted, std::size_t request_bytes);

// Cuts lines into requests.
class BatchCutter {
 public:
  // `wanted` is a request without sentences: it is copied for each batch.
  BatchCutter(ByteSource source, v1::InferRequest wanted, BatchLimits limits);

  // The next request; nothing after the last one.
  // Throws InputError, once the lines before what is wrong were given out.
  std::optional<v1::InferRequest> next();

 private:
  const v1::InferRequest wanted_;
  const BatchLimits limits_;
  LineReader lines_;
  std::optional<std::string> line_;  // that was read, and had no room in the batch before
  std::exception_ptr error_;         // that comes after the batch before
};

}  // namespace twinhead
