#include "answers.h"

#include <string_view>

#include "errors.h"
#include "json.h"
#include "utf8.h"

namespace twinhead {
namespace {

void check(bool fits, std::string_view what) {
  if (!fits) {
    throw AnswerError("the worker's answer does not fit its request (" + std::string(what) +
                      "); is this client older than the worker?");
  }
}

std::string_view status_name(int code) {
  switch (code) {
    case v1::SENTENCE_CODE_OK: return "ok";
    case v1::SENTENCE_CODE_EMPTY: return "empty";
    case v1::SENTENCE_CODE_TOO_LONG: return "too_long";
    case v1::SENTENCE_CODE_INVALID: return "invalid";
    default: return "unknown";
  }
}

std::string_view kind_name(int kind) {
  switch (kind) {
    case v1::TASK_KIND_SINGLE_LABEL: return "single_label";
    case v1::TASK_KIND_BINARY: return "binary";
    case v1::TASK_KIND_MULTI_LABEL: return "multi_label";
    case v1::TASK_KIND_TOKEN: return "token";
    default: return "unknown";
  }
}

std::string_view label_name(const v1::TaskResult& task, int index) {
  check(index >= 0 && index < task.labels_size(), "a label is unknown");
  return task.labels(index);
}

void append_label(std::string& out, std::string_view label, float score) {
  out += '{';
  append_member(out, "label", label);
  append_member(out, "score", score);
  out += '}';
}

// What one task says of one sentence.
void append_task(std::string& out, const v1::TaskResult& task, int row, std::string_view text) {
  switch (task.answer_case()) {
    case v1::TaskResult::kSingleLabel: {
      const auto& answer = task.single_label();
      append_label(out, label_name(task, answer.label_indices(row)), answer.scores(row));
      break;
    }
    case v1::TaskResult::kBinary: {
      const auto& answer = task.binary();
      const float yes = answer.probabilities(row);
      const int index = answer.label_indices(row);
      append_label(out, label_name(task, index), index == 1 ? yes : 1 - yes);
      break;
    }
    case v1::TaskResult::kMultiLabel: {
      const v1::LabelSet& set = task.multi_label().sentences(row);
      check(set.label_indices_size() == set.scores_size(), "labels and scores");
      out += '[';
      for (int each = 0; each < set.label_indices_size(); ++each) {
        if (each > 0) out += ',';
        append_label(out, label_name(task, set.label_indices(each)), set.scores(each));
      }
      out += ']';
      break;
    }
    case v1::TaskResult::kToken: {
      out += '[';
      for (const v1::Entity& entity : task.token().sentences(row).entities()) {
        if (out.back() != '[') out += ',';
        out += '{';
        append_member(out, "label", entity.label());
        append_member(out, "start", std::uint64_t{entity.start()});
        append_member(out, "end", std::uint64_t{entity.end()});
        append_member(out, "text", code_point_slice(text, entity.start(), entity.end()));
        append_member(out, "score", entity.score());
        out += '}';
      }
      out += ']';
      break;
    }
    case v1::TaskResult::ANSWER_NOT_SET:
      out += "null";  // of a kind that a newer worker has
  }
}

void check_rows(const v1::InferResponse& response, int rows) {
  check(response.statuses_size() == rows, "statuses");
  for (const v1::TaskResult& task : response.tasks()) {
    const auto& single = task.single_label();
    const auto& binary = task.binary();
    const bool fits =
        (!task.has_single_label() ||
         (single.label_indices_size() == rows && single.scores_size() == rows)) &&
        (!task.has_binary() ||
         (binary.label_indices_size() == rows && binary.probabilities_size() == rows)) &&
        (!task.has_multi_label() || task.multi_label().sentences_size() == rows) &&
        (!task.has_token() || task.token().sentences_size() == rows);
    check(fits, "task " + std::string(task.name()));
  }
  if (response.has_embeddings()) {
    const v1::Tensor& tensor = response.embeddings();
    check(tensor.dtype() == v1::DATA_TYPE_FLOAT32 && tensor.shape_size() == 2 &&
              tensor.shape(0) == rows &&
              tensor.float32_values_size() == tensor.shape(0) * tensor.shape(1),
          "embeddings");
  }
}

void append_embedding(std::string& out, const v1::Tensor& tensor, int row) {
  const int dimensions = static_cast<int>(tensor.shape(1));
  out += ",\"embedding\":[";
  for (int index = row * dimensions; index < (row + 1) * dimensions; ++index) {
    if (out.back() != '[') out += ',';
    append_json(out, tensor.float32_values(index));
  }
  out += ']';
}

// What became of one sentence; returns whether it has an answer.
bool append_result(std::string& out, const v1::InferResponse& response, int row,
                   std::string_view text) {
  const v1::SentenceStatus& status = response.statuses(row);
  const bool ok = status.code() == v1::SENTENCE_CODE_OK;
  append_member(out, "status", status_name(status.code()));
  append_member(out, "tokens", std::uint64_t{status.tokens()});
  append_member(out, "truncated", status.truncated());
  if (ok) {
    for (const v1::TaskResult& task : response.tasks()) {
      out += ',';
      append_json(out, task.name());
      out += ':';
      append_task(out, task, row, text);
    }
    if (response.has_embeddings()) append_embedding(out, response.embeddings(), row);
  } else {
    append_member(out, "message", status.message());
  }
  append_member(out, "model_version", response.model_version());
  return ok;
}

void append_error(std::string& out, const google::rpc::Status& status) {
  const RpcError error(status);
  out += ",\"error\":{";
  append_member(out, "code", code_name(error.code()));
  append_member(out, "reason", error.reason());
  append_member(out, "message", error.message());
  out += '}';
}

}  // namespace

bool append_answers(std::string& out, std::uint64_t first_line, const v1::InferRequest& request,
                    const v1::StreamInferResponse& response) {
  if (!response.has_error()) {
    check(response.has_response(), "no result");
    check_rows(response.response(), request.sentences_size());
  }
  bool all_answered = true;
  for (int row = 0; row < request.sentences_size(); ++row) {
    const std::string_view text = request.sentences(row);
    out += '{';
    append_member(out, "line", first_line + static_cast<std::uint64_t>(row));
    append_member(out, "text", text);
    if (response.has_error()) {
      append_error(out, response.error());
      all_answered = false;
    } else {
      all_answered &= append_result(out, response.response(), row, text);
    }
    out += "}\n";
  }
  return all_answered;
}

void append_model(std::string& out, const v1::GetModelResponse& model) {
  out += '{';
  append_member(out, "model_version", model.model_version());
  append_member(out, "encoder", model.encoder());
  append_member(out, "embedding_dimensions", std::uint64_t{model.embedding_dimensions()});
  out += ",\"tasks\":[";
  for (const v1::TaskInfo& task : model.tasks()) {
    if (out.back() != '[') out += ',';
    out += '{';
    append_member(out, "name", task.name());
    append_member(out, "kind", kind_name(task.kind()));
    out += ",\"labels\":[";
    for (const auto& label : task.labels()) {
      if (out.back() != '[') out += ',';
      append_json(out, label);
    }
    out += "]}";
  }
  out += "]}\n";
}

}  // namespace twinhead
