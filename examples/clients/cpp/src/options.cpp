#include "options.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <map>

#include "utf8.h"

namespace twinhead {

const std::string_view kHelp =
    R"(Usage: twinhead-client [options] FILE

Labels a text on a Twinhead worker: prints a line of JSON for each line of FILE, which is UTF-8
text; - is standard input.

  --target HOST:PORT  the worker (localhost:50051)
  --tls               encrypt, and trust the system's certificates
  --tls-ca FILE       encrypt, and trust the certificates in this PEM file
  --token-file FILE   send the first line of this file as a bearer token
  --batch-size N      sentences of a request, at most what the worker's limits allow (64)
  --in-flight N       requests that are sent and not answered yet (4)
  --tasks A,B         only these tasks
  --no-embedding      do not ask for embeddings
  --no-truncate       refuse sentences that are longer than the model reads; else they are cut
  --repeatable        ask for answers that are the same to the bit each time
  --timeout SECONDS   for the whole run
  --model             print the model as a line of JSON, and end; takes no FILE
  --help              print this, and end

Exit codes: 0 all lines have answers; 1 failed; 2 wrong usage; 3 done, but some lines have no
answer.
)";

namespace {

const std::string& read_text(const std::string& name, const std::string& value) {
  if (value.empty()) throw UsageError(name + " wants a value");  // often a variable that is not set
  return value;
}

std::size_t read_count(const std::string& name, std::string_view value) {
  std::size_t count = 0;
  const char* const last = value.data() + value.size();
  const auto [end, error] = std::from_chars(value.data(), last, count);
  if (error != std::errc() || end != last || count < 1) {
    throw UsageError(name + " wants a whole number from 1 on");
  }
  return count;
}

std::chrono::duration<double> read_seconds(const std::string& name, const std::string& value) {
  // Clocks overflow somewhere; 30 years are as good as any number above.
  constexpr double longest = 1e9;
  char* end = nullptr;
  const double seconds = std::strtod(value.c_str(), &end);
  if (value.empty() || *end != '\0' || !(seconds > 0)) {
    throw UsageError(name + " wants a number of seconds above 0");
  }
  return std::chrono::duration<double>(std::min(seconds, longest));
}

std::vector<std::string> read_names(const std::string& name, std::string_view value) {
  std::vector<std::string> names;
  for (;;) {
    const std::size_t comma = value.find(',');
    names.emplace_back(value.substr(0, comma));
    if (names.back().empty() || !is_utf8(names.back())) {
      throw UsageError(name + " wants names with commas between them; --model prints them");
    }
    if (comma == std::string_view::npos) return names;
    value.remove_prefix(comma + 1);
  }
}

using Flag = void (*)(Options&);
using Setting = void (*)(Options&, const std::string& name, const std::string& value);

const std::map<std::string, Flag> kFlags = {
    {"--tls", [](Options& options) { options.tls = true; }},
    {"--no-embedding", [](Options& options) { options.embedding = false; }},
    {"--no-truncate", [](Options& options) { options.truncate = false; }},
    {"--repeatable", [](Options& options) { options.repeatable = true; }},
    {"--model", [](Options& options) { options.model = true; }},
    {"--help", [](Options& options) { options.help = true; }},
    {"-h", [](Options& options) { options.help = true; }},
};

const std::map<std::string, Setting> kSettings = {
    {"--target",
     [](auto& options, auto& name, auto& value) { options.target = read_text(name, value); }},
    {"--tls-ca",
     [](auto& options, auto& name, auto& value) { options.tls_ca = read_text(name, value); }},
    {"--token-file",
     [](auto& options, auto& name, auto& value) { options.token_file = read_text(name, value); }},
    {"--batch-size",
     [](auto& options, auto& name, auto& value) { options.batch_size = read_count(name, value); }},
    {"--in-flight",
     [](auto& options, auto& name, auto& value) { options.in_flight = read_count(name, value); }},
    {"--tasks",
     [](auto& options, auto& name, auto& value) { options.tasks = read_names(name, value); }},
    {"--timeout",
     [](auto& options, auto& name, auto& value) { options.timeout = read_seconds(name, value); }},
};

void check(const Options& options) {
  if (options.help) return;
  if (options.model && !options.file.empty()) throw UsageError("--model takes no FILE");
  if (!options.model && options.file.empty()) {
    throw UsageError("FILE is missing (- is standard input)");
  }
}

}  // namespace

Options parse_options(const std::vector<std::string>& arguments) {
  Options options;
  bool only_files = false;  // after --
  for (auto argument = arguments.begin(); argument != arguments.end(); ++argument) {
    if (only_files || *argument == "-" || argument->compare(0, 1, "-") != 0) {
      if (!options.file.empty()) throw UsageError("there is more than one FILE");
      options.file = *argument;
      continue;
    }
    if (*argument == "--") {
      only_files = true;
      continue;
    }
    const std::size_t equals = argument->find('=');
    const std::string name = argument->substr(0, equals);
    const auto flag = kFlags.find(name);
    const auto setting = kSettings.find(name);
    if (flag != kFlags.end() && equals == std::string::npos) {
      flag->second(options);
    } else if (setting != kSettings.end() && equals != std::string::npos) {
      setting->second(options, name, argument->substr(equals + 1));
    } else if (setting != kSettings.end()) {
      if (++argument == arguments.end()) throw UsageError(name + " wants a value");
      setting->second(options, name, *argument);
    } else {
      throw UsageError("there is no option " + *argument);
    }
  }
  check(options);
  return options;
}

}  // namespace twinhead
