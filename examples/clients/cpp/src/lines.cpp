#include "lines.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "utf8.h"

namespace twinhead {
namespace {

constexpr std::size_t kBufferBytes = 64 * 1024;
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
// Of what is read for a line and does not belong to it: a byte order mark and a \r.
constexpr std::size_t kExtraBytes = kByteOrderMark.size() + 1;

}  // namespace

LineReader::LineReader(ByteSource source, std::size_t max_bytes, std::size_t request_bytes)
    : source_(std::move(source)),
      max_bytes_(max_bytes),
      request_bytes_(request_bytes),
      buffer_(kBufferBytes) {}

std::optional<std::string> LineReader::next() {
  for (;;) {
    const auto first = buffer_.begin() + static_cast<std::ptrdiff_t>(begin_);
    const auto last = buffer_.begin() + static_cast<std::ptrdiff_t>(end_);
    const auto newline = std::find(first, last, '\n');
    append(static_cast<std::size_t>(newline - buffer_.begin()));
    if (newline != last) {
      ++begin_;
      if (!line_.empty() && line_.back() == '\r') line_.pop_back();
      std::string line = checked(std::move(line_));
      line_.clear();
      ++number_;
      return line;
    }
    if (!fill()) break;
  }
  std::string line = checked(std::move(line_));
  line_.clear();
  if (line.empty()) return std::nullopt;  // a text ends with \n, it does not go on after it
  return line;
}

bool LineReader::fill() {
  begin_ = 0;
  end_ = source_(buffer_.data(), buffer_.size());
  return end_ > 0;
}

// Takes what is in the buffer up to `end` for the line. Refused here, a line that never ends takes
// no more memory than one that may be.
void LineReader::append(std::size_t end) {
  if (line_.size() + (end - begin_) > max_bytes_ + kExtraBytes) refuse_long_line();
  line_.append(buffer_.data() + begin_, end - begin_);
  begin_ = end;
}

std::string LineReader::checked(std::string line) const {
  if (number_ == 1 && line.compare(0, kByteOrderMark.size(), kByteOrderMark) == 0) {
    line.erase(0, kByteOrderMark.size());
  }
  if (line.size() > max_bytes_) refuse_long_line();
  if (!is_utf8(line)) {
    throw InputError("line " + std::to_string(number_) + " is not UTF-8; convert the text first");
  }
  return line;
}

void LineReader::refuse_long_line() const {
  throw InputError("line " + std::to_string(number_) + " is longer than a request may be (" +
                   std::to_string(request_bytes_) + " bytes)");
}

}  // namespace twinhead
