// The command line.
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace twinhead {

// A command line that says nothing that can be done.
class UsageError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct Options {
  std::string target = "localhost:50051";
  bool tls = false;
  std::string tls_ca;
  std::string token_file;
  std::size_t batch_size = 64;
  std::size_t in_flight = 4;
  std::vector<std::string> tasks;  // empty: all
  bool embedding = true;
  bool truncate = true;
  bool repeatable = false;
  std::optional<std::chrono::duration<double>> timeout;
  bool model = false;
  bool help = false;
  std::string file;  // empty only with `model` or `help`
};

extern const std::string_view kHelp;

// Reads the arguments, without the program's name. Options may be written `--name value` or
// `--name=value`, before and after the file.
// Throws UsageError.
Options parse_options(const std::vector<std::string>& arguments);

}  // namespace twinhead
