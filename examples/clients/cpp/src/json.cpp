#include "json.h"

#include <charconv>
#include <cmath>

namespace twinhead {
namespace {

template <typename Number>
void append_number(std::string& out, Number value) {
  char digits[32];  // the longest, a float such as -1.17549435e-38 or an integer, has 20
  const auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
  out.append(digits, end);
}

}  // namespace

void append_json(std::string& out, std::string_view text) {
  constexpr std::string_view hex = "0123456789abcdef";
  out += '"';
  for (const char character : text) {
    const auto byte = static_cast<unsigned char>(character);
    switch (character) {
      case '"': out += "\\\""; break;
      case '\\': out += "\\\\"; break;
      case '\b': out += "\\b"; break;
      case '\f': out += "\\f"; break;
      case '\n': out += "\\n"; break;
      case '\r': out += "\\r"; break;
      case '\t': out += "\\t"; break;
      default:
        if (byte < 0x20) {
          out += "\\u00";
          out += hex[byte >> 4];
          out += hex[byte & 0xF];
        } else {
          out += character;
        }
    }
  }
  out += '"';
}

void append_json(std::string& out, const char* text) { append_json(out, std::string_view(text)); }

void append_json(std::string& out, float value) {
  if (std::isfinite(value)) {
    append_number(out, value);
  } else {
    out += "null";
  }
}

void append_json(std::string& out, std::uint64_t value) { append_number(out, value); }

void append_json(std::string& out, bool value) { out += value ? "true" : "false"; }

}  // namespace twinhead
