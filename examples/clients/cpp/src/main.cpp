// Labels a text: the command line, and what goes on standard output and standard error.
#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <google/protobuf/stubs/common.h>

#include "answers.h"
#include "batch_stream.h"
#include "batches.h"
#include "client.h"
#include "errors.h"
#include "input_file.h"
#include "options.h"

namespace {

using namespace twinhead;

enum ExitCode { kDone = 0, kFailed = 1, kWrongUsage = 2, kUnanswered = 3 };

// Nobody reads standard output any more, as behind `| head`: no error, but no use in going on.
class BrokenPipe : public std::exception {};

// Libraries write nothing on standard error: what matters comes as an error.
void silence_libraries() {
  ::setenv("GRPC_VERBOSITY", "NONE", 0);  // who sets it wants to see something
// Later releases log through abseil, as gRPC does.
#if defined(GOOGLE_PROTOBUF_VERSION) && GOOGLE_PROTOBUF_VERSION < 4022000
  google::protobuf::SetLogHandler(nullptr);
#endif
}

std::string read_file(const std::string& path) {
  InputFile file(path);
  std::string text;
  std::array<char, 4096> part;
  while (const std::size_t size = file.read(part.data(), part.size())) {
    text.append(part.data(), size);
  }
  return text;
}

std::string read_roots(const std::string& path) {
  std::string roots = read_file(path);
  // gRPC would say of such a file only that nobody answers.
  if (roots.find("-----BEGIN CERTIFICATE-----") == std::string::npos) {
    throw InputError(path + " has no certificates in PEM");
  }
  return roots;
}

std::string read_token(const std::string& path) {
  std::string token = read_file(path);
  token.erase(std::min(token.size(), token.find('\n')));
  if (!token.empty() && token.back() == '\r') token.pop_back();
  // Anything else cannot travel in a header, and gRPC would end the process over it.
  const auto printable = [](char character) { return character >= ' ' && character <= '~'; };
  if (token.empty() || !std::all_of(token.begin(), token.end(), printable)) {
    throw InputError("the first line of " + path + " is no token: it wants printable ASCII");
  }
  return token;
}

Connection connection(const Options& options) {
  Connection connection;
  connection.target = options.target;
  connection.tls = options.tls || !options.tls_ca.empty();
  if (!options.tls_ca.empty()) connection.roots = read_roots(options.tls_ca);
  if (!options.token_file.empty()) connection.token = read_token(options.token_file);
  if (options.timeout) {
    connection.deadline =
        Clock::now() + std::chrono::duration_cast<Clock::duration>(*options.timeout);
  }
  return connection;
}

// What is wanted of all sentences.
v1::InferRequest wanted(const Options& options) {
  v1::InferRequest request;
  v1::OutputSelection& outputs = *request.mutable_outputs();
  for (const std::string& task : options.tasks) outputs.add_tasks(task);
  outputs.set_logits(false);
  if (!options.embedding) {
    outputs.mutable_embedding()->set_format(v1::EMBEDDING_FORMAT_NONE);
  }
  if (!options.truncate) request.set_truncation(v1::TRUNCATION_NONE);
  request.set_repeatable(options.repeatable);
  return request;
}

void print(const std::string& text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0) {
    return;
  }
  if (errno == EPIPE) throw BrokenPipe();
  throw std::runtime_error("cannot write: " + std::generic_category().message(errno));
}

// Sends the file in a thread of its own, as far ahead as the stream has room.
class Sender {
 public:
  Sender(InputFile& file, BatchCutter& batches, BatchStream& stream)
      : file_(file), stream_(stream), thread_([this, &batches] { send_all(batches); }) {}
  ~Sender() {
    file_.stop();
    stream_.cancel();
    if (thread_.joinable()) thread_.join();
  }

  // Tells what was wrong with the file; for when the stream has given its last answer.
  void finish() {
    thread_.join();
    if (error_) std::rethrow_exception(error_);
  }

 private:
  void send_all(BatchCutter& batches) {
    try {
      while (auto request = batches.next()) {
        if (!stream_.send(std::move(*request))) return;
      }
    } catch (...) {
      error_ = std::current_exception();
    }
    stream_.finish();
  }

  InputFile& file_;
  BatchStream& stream_;
  std::exception_ptr error_;
  std::thread thread_;
};

ExitCode label(Client& client, const v1::ModelLimits& limits, InputFile& file,
               const Options& options) {
  const std::size_t sentences =
      std::min<std::size_t>(options.batch_size, std::max(1U, limits.sentences_per_request()));
  BatchCutter batches([&](char* data, std::size_t size) { return file.read(data, size); },
                      wanted(options), {sentences, limits.request_bytes()});
  BatchStream stream(client, options.in_flight);
  Sender sender(file, batches, stream);
  std::string lines;
  std::uint64_t line = 1;
  bool all_answered = true;
  while (const auto answered = stream.receive()) {
    const v1::InferRequest& request = answered->request->request();
    lines.clear();
    all_answered &= append_answers(lines, line, request, answered->response);
    print(lines);
    line += static_cast<std::uint64_t>(request.sentences_size());
  }
  sender.finish();
  return all_answered ? kDone : kUnanswered;
}

ExitCode run(const Options& options) {
  if (options.help) {
    print(std::string(kHelp));
    return kDone;
  }
  Client client(connection(options));
  if (options.model) {
    std::string line;
    append_model(line, client.model());
    print(line);
    return kDone;
  }
  InputFile file(options.file);
  const v1::GetModelResponse model = client.model();
  return label(client, model.limits(), file, options);
}

// What a worker says may hold anything; an error is one line.
void print_error(std::string text) {
  const auto control = [](unsigned char byte) { return byte < 0x20 || byte == 0x7F; };
  std::replace_if(text.begin(), text.end(), control, ' ');
  std::fprintf(stderr, "error: %s\n", text.c_str());
}

}  // namespace

int main(int argc, char** argv) {
  silence_libraries();
  std::signal(SIGPIPE, SIG_IGN);  // writing fails, and tells so
  try {
    return run(parse_options({argv + 1, argv + argc}));
  } catch (const BrokenPipe&) {
    return kFailed;
  } catch (const UsageError& error) {
    print_error(std::string(error.what()) + "; see --help");
    return kWrongUsage;
  } catch (const std::exception& error) {
    print_error(error.what());
    return kFailed;
  }
}
