// As much of a test framework as these tests need.
#pragma once

#include <cstdio>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace testing {

struct Test {
  const char* name;
  std::function<void()> run;
};

inline std::vector<Test>& tests() {
  static std::vector<Test> all;
  return all;
}

inline int failures = 0;

inline bool add(const char* name, std::function<void()> run) {
  tests().push_back({name, std::move(run)});
  return true;
}

inline void fail(const char* file, int line, const std::string& text) {
  ++failures;
  std::fprintf(stderr, "%s:%d: %s\n", file, line, text.c_str());
}

inline std::string show(const std::string& value) { return '"' + value + '"'; }
inline std::string show(std::string_view value) { return show(std::string(value)); }
inline std::string show(const char* value) { return show(std::string(value)); }
template <typename Value>
std::string show(const Value& value) {
  return std::to_string(value);
}

template <typename Actual, typename Expected>
void equal(const Actual& actual, const Expected& expected, const char* file, int line) {
  if (!(actual == expected)) fail(file, line, show(actual) + " is not " + show(expected));
}

}  // namespace testing

#define TEST(name)                                                    \
  static void name();                                                 \
  [[maybe_unused]] static const bool name##_added = testing::add(#name, name); \
  static void name()

#define CHECK(condition) \
  ((condition) ? void() : testing::fail(__FILE__, __LINE__, "not so: " #condition))

#define CHECK_EQUAL(actual, expected) testing::equal((actual), (expected), __FILE__, __LINE__)

// That a statement throws, and with which text.
#define CHECK_THROWS(statement, exception, text)                             \
  try {                                                                      \
    statement;                                                               \
    testing::fail(__FILE__, __LINE__, "nothing was thrown by: " #statement); \
  } catch (const exception& error) {                                         \
    CHECK_EQUAL(std::string(error.what()), std::string(text));               \
  }
