// Values as JSON, added to the end of a text.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace twinhead {

// A string in its quotes; `text` must be UTF-8, and stays UTF-8.
void append_json(std::string& out, std::string_view text);
// Without this, a literal would be taken for a bool.
void append_json(std::string& out, const char* text);

// The shortest number that reads as the same float; null for what is not finite, since JSON has no
// such numbers.
void append_json(std::string& out, float value);

void append_json(std::string& out, std::uint64_t value);
void append_json(std::string& out, bool value);

// A member of an object, with its comma unless it is the first.
template <typename Value>
void append_member(std::string& out, std::string_view name, const Value& value) {
  if (out.back() != '{') out += ',';
  append_json(out, name);
  out += ':';
  append_json(out, value);
}

}  // namespace twinhead
