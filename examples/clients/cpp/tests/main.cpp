#include <exception>

#include "check.h"

int main() {
  for (const testing::Test& test : testing::tests()) {
    const int before = testing::failures;
    try {
      test.run();
    } catch (const std::exception& error) {
      testing::fail(test.name, 0, std::string("threw: ") + error.what());
    }
    std::printf("%s %s\n", testing::failures == before ? "ok  " : "FAIL", test.name);
  }
  return testing::failures == 0 ? 0 : 1;
}
