#include "utf8.h"

#include <string>

#include "check.h"

using namespace twinhead;

TEST(ascii_offsets_are_bytes) {
  CHECK_EQUAL(byte_offset("abc", 0), 0u);
  CHECK_EQUAL(byte_offset("abc", 2), 2u);
  CHECK_EQUAL(byte_offset("abc", 3), 3u);
}

TEST(emoji_is_one_code_point_of_four_bytes) {
  CHECK_EQUAL(byte_offset("🏛 Rome", 1), 4u);
  CHECK_EQUAL(code_point_slice("🏛 Rome", 2, 6), "Rome");
  CHECK_EQUAL(code_point_slice("Rome 🏛.", 5, 6), "🏛");
}

TEST(zwj_sequence_is_many_code_points) {
  const std::string family = "👩‍👩‍👧";  // three people, two joiners
  CHECK_EQUAL(byte_offset(family, 5), family.size());
  CHECK_EQUAL(byte_offset(family, 1), 4u);
  CHECK_EQUAL(byte_offset(family, 2), 7u);
  CHECK_EQUAL(code_point_slice("A " + family + " B", 8, 9), "B");
}

TEST(combining_mark_is_a_code_point_of_its_own) {
  CHECK_EQUAL(byte_offset("e\u0301a", 1), 1u);
  CHECK_EQUAL(byte_offset("e\u0301a", 2), 3u);
  CHECK_EQUAL(code_point_slice("cafe\u0301 Paris", 6, 11), "Paris");
}

TEST(cjk_has_three_bytes) {
  CHECK_EQUAL(byte_offset("東京都", 2), 6u);
  CHECK_EQUAL(code_point_slice("私は東京にいる", 2, 4), "東京");
}

TEST(offsets_past_the_end_are_the_end) {
  CHECK_EQUAL(byte_offset("é", 9), 2u);
  CHECK_EQUAL(byte_offset("", 1), 0u);
  CHECK_EQUAL(code_point_slice("é", 5, 9), "");
  CHECK_EQUAL(code_point_slice("abc", 2, 1), "");  // an end before its start
}

TEST(what_unicode_allows_is_utf8) {
  CHECK(is_utf8(""));
  CHECK(is_utf8(std::string("a\0b", 3)));
  CHECK(is_utf8("é 東 🏛 \u2028"));
  CHECK(is_utf8("\xC2\x80"));
  CHECK(is_utf8("\xDF\xBF"));
  CHECK(is_utf8("\xE0\xA0\x80"));
  CHECK(is_utf8("\xED\x9F\xBF"));  // the last before the surrogates
  CHECK(is_utf8("\xEE\x80\x80"));  // the first after them
  CHECK(is_utf8("\xEF\xBF\xBF"));
  CHECK(is_utf8("\xF0\x90\x80\x80"));
  CHECK(is_utf8("\xF4\x8F\xBF\xBF"));  // U+10FFFF
}

TEST(overlong_forms_are_refused) {
  CHECK(!is_utf8("\xC0\x80"));
  CHECK(!is_utf8("\xC1\xBF"));
  CHECK(!is_utf8("\xE0\x9F\xBF"));
  CHECK(!is_utf8("\xF0\x8F\xBF\xBF"));
}

TEST(surrogates_are_refused) {
  CHECK(!is_utf8("\xED\xA0\x80"));
  CHECK(!is_utf8("\xED\xBF\xBF"));
}

TEST(code_points_that_are_too_high_are_refused) {
  CHECK(!is_utf8("\xF4\x90\x80\x80"));
  CHECK(!is_utf8("\xF5\x80\x80\x80"));
  CHECK(!is_utf8("\xFF"));
}

TEST(broken_sequences_are_refused) {
  CHECK(!is_utf8("\x80"));
  CHECK(!is_utf8("a\xC3"));
  CHECK(!is_utf8("\xC3" "a"));
  CHECK(!is_utf8("\xE2\x82"));
  CHECK(!is_utf8("\xE2\x82" "a"));
  CHECK(!is_utf8("\xF0\x9F\x8F"));
  CHECK(!is_utf8("\xF0\x9F\x8F" "a"));
}
