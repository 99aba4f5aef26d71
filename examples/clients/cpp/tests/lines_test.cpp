#include "lines.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "check.h"

using namespace twinhead;
using Lines = std::vector<std::string>;

namespace {

// A text that comes in pieces of so many bytes.
ByteSource in_pieces(std::string text, std::size_t piece) {
  return [text = std::move(text), piece, read = std::size_t{0}](char* data,
                                                                std::size_t size) mutable {
    const std::size_t count = text.copy(data, std::min(size, piece), read);
    read += count;
    return count;
  };
}

Lines read_all(LineReader reader) {
  Lines lines;
  while (auto line = reader.next()) lines.push_back(*line);
  return lines;
}

// That a text has these lines, wherever it is cut.
void check_lines(const std::string& text, const Lines& expected) {
  for (const std::size_t piece : {1u, 2u, 3u, 5u, 1000u}) {
    CHECK(read_all(LineReader(in_pieces(text, piece), 1000, 1000)) == expected);
  }
}

}  // namespace

TEST(lines_end_with_newline) {
  check_lines("", {});
  check_lines("a\nbc\n", {"a", "bc"});
  check_lines("a\nbc", {"a", "bc"});
  check_lines("\n", {""});
  check_lines("a\n\n\nb\n", {"a", "", "", "b"});
}

TEST(carriage_return_before_newline_is_dropped) {
  check_lines("a\r\nb\r\n", {"a", "b"});
  check_lines("\r\n\r\n", {"", ""});
  check_lines("a\r\r\nb", {"a\r", "b"});
  check_lines("a\rb\nc\r", {"a\rb", "c\r"});  // elsewhere it is text
}

TEST(other_separators_are_text) {
  check_lines("a\u2028b\u2029c\u0085d\ve\ff\x1Cg\nh", {"a\u2028b\u2029c\u0085d\ve\ff\x1Cg", "h"});
  check_lines(std::string("a\0b\n", 4), {std::string("a\0b", 3)});
}

TEST(byte_order_mark_is_dropped_at_the_beginning_alone) {
  check_lines("\uFEFFa\n\uFEFFb\n", {"a", "\uFEFFb"});
  check_lines("\uFEFF", {});
  check_lines("\uFEFF\n", {""});
  check_lines("a\uFEFF\n", {"a\uFEFF"});
}

TEST(lines_may_be_longer_than_the_buffer) {
  const std::string one(200'000, 'x');
  const std::string other = std::string(65'535, 'y') + "é";  // cut by the end of the buffer
  CHECK(read_all(LineReader(in_pieces(one + "\n" + other + "\nz", 1 << 20), 200'000, 1)) ==
        (Lines{one, other, "z"}));
}

TEST(text_that_is_not_utf8_is_told_with_its_line) {
  for (const std::size_t piece : {1u, 2u, 1000u}) {
    LineReader reader(in_pieces("a\né\nb\xC3\nc\n", piece), 1000, 1000);
    CHECK_EQUAL(*reader.next(), "a");
    CHECK_EQUAL(*reader.next(), "é");
    CHECK_THROWS(reader.next(), InputError, "line 3 is not UTF-8; convert the text first");
  }
  LineReader reader(in_pieces("a\n\xFF", 10), 1000, 1000);
  CHECK_EQUAL(*reader.next(), "a");
  CHECK_THROWS(reader.next(), InputError, "line 2 is not UTF-8; convert the text first");
}

TEST(long_lines_are_told_with_the_limit) {
  const std::string most(10, 'x');
  check_lines(most + "\r\n", {most});
  for (const std::size_t piece : {1u, 7u, 1000u}) {
    const Lines fitting = read_all(
        LineReader(in_pieces("\uFEFF" + most + "\r\n" + most, piece), most.size(), 20));
    CHECK(fitting == (Lines{most, most}));
    LineReader reader(in_pieces("a\n" + most + "x\n", piece), most.size(), 20);
    CHECK_EQUAL(*reader.next(), "a");
    CHECK_THROWS(reader.next(), InputError, "line 2 is longer than a request may be (20 bytes)");
  }
}

TEST(a_line_without_end_is_refused_before_it_is_read) {
  std::size_t read = 0;
  const ByteSource endless = [&](char* data, std::size_t size) {
    std::fill_n(data, size, 'x');
    read += size;
    return size;
  };
  LineReader reader(endless, 1 << 20, 1 << 20);
  CHECK_THROWS(reader.next(), InputError, "line 1 is longer than a request may be (1048576 bytes)");
  CHECK(read < (2 << 20));
}
