#include "answers.h"

#include <string>

#include "check.h"
#include "worker_status.h"

using namespace twinhead;

namespace {

v1::InferRequest request_of(std::initializer_list<const char*> sentences) {
  v1::InferRequest request;
  for (const char* sentence : sentences) request.add_sentences(sentence);
  return request;
}

v1::SentenceStatus* add_status(v1::InferResponse& response, v1::SentenceCode code, int tokens) {
  v1::SentenceStatus* status = response.add_statuses();
  status->set_code(code);
  status->set_tokens(static_cast<std::uint32_t>(tokens));
  return status;
}

v1::TaskResult* add_task(v1::InferResponse& response, const char* name, v1::TaskKind kind) {
  v1::TaskResult* task = response.add_tasks();
  task->set_name(name);
  task->set_kind(kind);
  for (const char* label : {"no", "yes"}) task->add_labels(label);
  return task;
}

// An answer of all kinds of tasks to a sentence with an emoji in it.
v1::StreamInferResponse every_kind() {
  v1::StreamInferResponse message;
  v1::InferResponse& response = *message.mutable_response();
  response.set_model_version("3f");
  add_status(response, v1::SENTENCE_CODE_OK, 9);

  auto* topic = add_task(response, "topic", v1::TASK_KIND_SINGLE_LABEL)->mutable_single_label();
  topic->add_label_indices(1);
  topic->add_scores(0.61f);
  auto* urgent = add_task(response, "urgent", v1::TASK_KIND_BINARY)->mutable_binary();
  urgent->add_label_indices(0);
  urgent->add_probabilities(0.25f);
  auto* flags = add_task(response, "flags", v1::TASK_KIND_MULTI_LABEL)->mutable_multi_label();
  v1::LabelSet* labels = flags->add_sentences();
  for (const int index : {1, 0}) {
    labels->add_label_indices(index);
    labels->add_scores(index == 1 ? 0.75f : 0.5f);
  }
  auto* entities = add_task(response, "entities", v1::TASK_KIND_TOKEN)->mutable_token();
  v1::Entity* entity = entities->add_sentences()->add_entities();
  entity->set_label("LOC");
  entity->set_start(2);
  entity->set_end(6);
  entity->set_score(0.98f);

  v1::Tensor& embedding = *response.mutable_embeddings();
  embedding.set_dtype(v1::DATA_TYPE_FLOAT32);
  for (const int length : {1, 2}) embedding.add_shape(length);
  for (const float value : {0.1f, -2.0f}) embedding.add_float32_values(value);
  return message;
}

}  // namespace

TEST(an_answer_is_a_line) {
  std::string out;
  CHECK(append_answers(out, 3, request_of({"🏛 Rome"}), every_kind()));
  CHECK_EQUAL(out,
              "{\"line\":3,\"text\":\"🏛 Rome\",\"status\":\"ok\",\"tokens\":9,"
              "\"truncated\":false,\"topic\":{\"label\":\"yes\",\"score\":0.61},"
              "\"urgent\":{\"label\":\"no\",\"score\":0.75},"
              "\"flags\":[{\"label\":\"yes\",\"score\":0.75},{\"label\":\"no\",\"score\":0.5}],"
              "\"entities\":[{\"label\":\"LOC\",\"start\":2,\"end\":6,\"text\":\"Rome\","
              "\"score\":0.98}],"
              "\"embedding\":[0.1,-2],\"model_version\":\"3f\"}\n");
}

TEST(a_binary_score_is_that_of_the_label) {
  v1::StreamInferResponse message = every_kind();
  message.mutable_response()->mutable_tasks(1)->mutable_binary()->set_label_indices(0, 1);
  std::string out;
  append_answers(out, 1, request_of({"a"}), message);
  CHECK(out.find("\"urgent\":{\"label\":\"yes\",\"score\":0.25}") != std::string::npos);
}

TEST(sentences_without_answer_have_a_message) {
  v1::StreamInferResponse message;
  v1::InferResponse& response = *message.mutable_response();
  response.set_model_version("3f");
  auto* topic = add_task(response, "topic", v1::TASK_KIND_SINGLE_LABEL)->mutable_single_label();
  for (const auto code : {v1::SENTENCE_CODE_EMPTY, v1::SENTENCE_CODE_TOO_LONG}) {
    add_status(response, code, 0)->set_message("why");
    topic->add_label_indices(-1);
    topic->add_scores(0);
  }
  std::string out;
  CHECK(!append_answers(out, 1, request_of({"", "b"}), message));
  CHECK_EQUAL(out,
              "{\"line\":1,\"text\":\"\",\"status\":\"empty\",\"tokens\":0,\"truncated\":false,"
              "\"message\":\"why\",\"model_version\":\"3f\"}\n"
              "{\"line\":2,\"text\":\"b\",\"status\":\"too_long\",\"tokens\":0,\"truncated\":false,"
              "\"message\":\"why\",\"model_version\":\"3f\"}\n");
}

TEST(a_failed_batch_gives_each_line_its_error) {
  v1::StreamInferResponse message;
  *message.mutable_error() =
      worker_status(grpc::StatusCode::INVALID_ARGUMENT, "unknown task \"x\"", "INVALID_REQUEST");
  std::string out;
  CHECK(!append_answers(out, 7, request_of({"a", "b"}), message));
  const std::string error =
      "\"error\":{\"code\":\"INVALID_ARGUMENT\",\"reason\":\"INVALID_REQUEST\","
      "\"message\":\"unknown task \\\"x\\\"\"}}\n";
  CHECK_EQUAL(out, "{\"line\":7,\"text\":\"a\"," + error + "{\"line\":8,\"text\":\"b\"," + error);
}

TEST(answers_that_do_not_fit_are_told) {
  const v1::InferRequest request = request_of({"a"});
  const auto check_refused = [&](const v1::StreamInferResponse& message, const char* what) {
    std::string out;
    CHECK_THROWS(append_answers(out, 1, request, message), AnswerError,
                 "the worker's answer does not fit its request (" + std::string(what) +
                     "); is this client older than the worker?");
  };
  check_refused({}, "no result");

  v1::StreamInferResponse message = every_kind();
  message.mutable_response()->add_statuses();
  check_refused(message, "statuses");

  for (int task = 0; task < 4; ++task) {
    message = every_kind();
    v1::TaskResult& result = *message.mutable_response()->mutable_tasks(task);
    if (result.has_single_label()) result.mutable_single_label()->clear_scores();
    if (result.has_binary()) result.mutable_binary()->clear_label_indices();
    if (result.has_multi_label()) result.mutable_multi_label()->clear_sentences();
    if (result.has_token()) result.mutable_token()->clear_sentences();
    check_refused(message, ("task " + result.name()).c_str());
  }

  message = every_kind();
  message.mutable_response()->mutable_tasks(0)->mutable_single_label()->set_label_indices(0, 2);
  check_refused(message, "a label is unknown");

  message = every_kind();
  message.mutable_response()->mutable_embeddings()->add_float32_values(1);
  check_refused(message, "embeddings");
}

TEST(a_model_is_a_line) {
  v1::GetModelResponse model;
  model.set_model_version("3f");
  model.set_encoder("mini");
  model.set_embedding_dimensions(384);
  v1::TaskInfo* task = model.add_tasks();
  task->set_name("topic");
  task->set_kind(v1::TASK_KIND_SINGLE_LABEL);
  for (const char* label : {"World", "Sports"}) task->add_labels(label);
  model.add_tasks()->set_kind(v1::TASK_KIND_TOKEN);
  std::string out;
  append_model(out, model);
  CHECK_EQUAL(out,
              "{\"model_version\":\"3f\",\"encoder\":\"mini\",\"embedding_dimensions\":384,"
              "\"tasks\":[{\"name\":\"topic\",\"kind\":\"single_label\","
              "\"labels\":[\"World\",\"Sports\"]},{\"name\":\"\",\"kind\":\"token\",\"labels\":[]}"
              "]}\n");
}
