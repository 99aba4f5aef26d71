// UTF-8, and the code points in it.
#pragma once

#include <cstddef>
#include <string_view>

namespace twinhead {

// Whether a text is UTF-8 as Unicode defines it: no overlong forms, no surrogates, nothing above
// U+10FFFF. The worker refuses all else, and protobuf complains on standard error.
bool is_utf8(std::string_view text);

// Where a code point begins, in bytes: the contract counts code points, C++ counts bytes. Offsets
// past the end give the end. `text` must be UTF-8.
std::size_t byte_offset(std::string_view text, std::size_t code_points);

// The part of a text from one code point to another (excluded), such as an entity's.
std::string_view code_point_slice(std::string_view text, std::size_t start, std::size_t end);

}  // namespace twinhead
