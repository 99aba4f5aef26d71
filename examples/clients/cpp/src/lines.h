// Text as lines, read piece by piece.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace twinhead {

// What is wrong with the text, or with its file.
class InputError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Reads up to `size` bytes to `data`; returns how many, 0 at the end. Throws InputError.
using ByteSource = std::function<std::size_t(char* data, std::size_t size)>;

// Lines of a text, without their ends and without the byte order mark before the first. Only \n
// ends a line (and a \r before it goes, too): other ends that editors know are text, so that all
// languages count the same lines. Memory: a line and a buffer.
class LineReader {
 public:
  // A line of more than `max_bytes` is an error: it would be in no request of `request_bytes`.
  LineReader(ByteSource source, std::size_t max_bytes, std::size_t request_bytes);

  // The next line; nothing after the last one.
  // Throws InputError with the number of the line that is not UTF-8, or too long.
  std::optional<std::string> next();

 private:
  bool fill();
  void append(std::size_t end);
  std::string checked(std::string line) const;
  [[noreturn]] void refuse_long_line() const;

  ByteSource source_;
  const std::size_t max_bytes_;
  const std::size_t request_bytes_;
  std::vector<char> buffer_;
  std::size_t begin_ = 0;  // of what is in the buffer and not read yet
  std::size_t end_ = 0;
  std::string line_;          // the part of a line that is read
  std::uint64_t number_ = 1;  // of that line
};

}  // namespace twinhead
