#include "json.h"

#include <charconv>
#include <cstring>
#include <limits>
#include <random>
#include <string>

#include "check.h"

using namespace twinhead;

namespace {

template <typename Value>
std::string json(const Value& value) {
  std::string out;
  append_json(out, value);
  return out;
}

}  // namespace

TEST(plain_text_stands_as_it_is) {
  CHECK_EQUAL(json("Ann lives in Rome 🏛."), "\"Ann lives in Rome 🏛.\"");
  CHECK_EQUAL(json(""), "\"\"");
  CHECK_EQUAL(json("/ \x7F é \u2028"), "\"/ \x7F é \u2028\"");
}

TEST(quotes_and_controls_are_escaped) {
  CHECK_EQUAL(json("say \"a\\b\""), R"("say \"a\\b\"")");
  CHECK_EQUAL(json("\b\f\n\r\t"), R"("\b\f\n\r\t")");
  CHECK_EQUAL(json(std::string("\0\x01\x1F", 3)), R"("\u0000\u0001\u001f")");
}

TEST(whole_numbers_and_truths) {
  CHECK_EQUAL(json(std::uint64_t{18446744073709551615u}), "18446744073709551615");
  CHECK_EQUAL(json(true), "true");
  CHECK_EQUAL(json(false), "false");
}

TEST(floats_are_short) {
  CHECK_EQUAL(json(0.1f), "0.1");
  CHECK_EQUAL(json(1.0f), "1");
  CHECK_EQUAL(json(-0.5f), "-0.5");
  CHECK_EQUAL(json(std::numeric_limits<float>::min()), "1.1754944e-38");
  CHECK_EQUAL(json(std::numeric_limits<float>::infinity()), "null");
  CHECK_EQUAL(json(std::numeric_limits<float>::quiet_NaN()), "null");
}

TEST(floats_read_as_the_same_float) {
  std::mt19937 random(7);
  for (int each = 0; each < 200'000; ++each) {
    const auto bits = static_cast<std::uint32_t>(random());
    float value = 0;
    std::memcpy(&value, &bits, sizeof value);
    const std::string text = json(value);
    if (text == "null") continue;
    // Also by way of double, which is how most readers of JSON come to a float.
    const auto read = static_cast<float>(std::stod(text));
    if (std::memcmp(&read, &value, sizeof value) != 0) CHECK_EQUAL(read, value);
    float exact = 0;
    std::from_chars(text.data(), text.data() + text.size(), exact);
    if (std::memcmp(&exact, &value, sizeof value) != 0) CHECK_EQUAL(exact, value);
  }
}

TEST(members_have_commas_between_them) {
  std::string out = "{";
  append_member(out, "a", "x");
  append_member(out, "b", 0.5f);
  append_member(out, "c", true);
  CHECK_EQUAL(out, R"({"a":"x","b":0.5,"c":true)");
}
