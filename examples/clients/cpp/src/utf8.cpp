#include "utf8.h"

#include <algorithm>

namespace twinhead {
namespace {

bool is_continuation(unsigned char byte) { return (byte & 0xC0) == 0x80; }

// Bytes of the code point that `text` begins with; 0 when it is none. Table 3-7 of the Unicode
// standard: the bounds of the second byte shut out overlong forms, surrogates and what is too high.
std::size_t code_point_bytes(std::string_view text) {
  const auto byte = [&](std::size_t index) { return static_cast<unsigned char>(text[index]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  if (first < 0xC2 || first > 0xF4) return 0;
  const std::size_t length = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
  if (text.size() < length) return 0;
  const unsigned char low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
  const unsigned char high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
  if (byte(1) < low || byte(1) > high) return 0;
  for (std::size_t index = 2; index < length; ++index) {
    if (!is_continuation(byte(index))) return 0;
  }
  return length;
}

}  // namespace

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const std::size_t length = code_point_bytes(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

std::size_t byte_offset(std::string_view text, std::size_t code_points) {
  std::size_t offset = 0;
  for (; code_points > 0 && offset < text.size(); --code_points) {
    ++offset;
    while (offset < text.size() && is_continuation(static_cast<unsigned char>(text[offset]))) {
      ++offset;
    }
  }
  return offset;
}

std::string_view code_point_slice(std::string_view text, std::size_t start, std::size_t end) {
  text.remove_prefix(byte_offset(text, start));
  return text.substr(0, byte_offset(text, end - std::min(start, end)));
}

}  // namespace twinhead
