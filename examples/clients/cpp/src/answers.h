// A worker's answers as lines of JSON.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

#include "twinhead/v1/inference_service.pb.h"
#include "twinhead/v1/model_service.pb.h"

namespace twinhead {

// An answer that is not what the contract says.
class AnswerError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Adds a line of JSON for each sentence of a request to `out`, and tells whether all of them have
// an answer. `first_line` is the number of the first.
// Throws AnswerError.
bool append_answers(std::string& out, std::uint64_t first_line, const v1::InferRequest& request,
                    const v1::StreamInferResponse& response);

// Adds a model as a line of JSON to `out`.
void append_model(std::string& out, const v1::GetModelResponse& model);

}  // namespace twinhead
