#include "options.h"

#include <string>
#include <vector>

#include "check.h"

using namespace twinhead;

TEST(defaults) {
  const Options options = parse_options({"text.txt"});
  CHECK_EQUAL(options.target, "localhost:50051");
  CHECK_EQUAL(options.batch_size, 64u);
  CHECK_EQUAL(options.in_flight, 4u);
  CHECK(options.tasks.empty());
  CHECK(options.embedding && options.truncate);
  CHECK(!options.tls && !options.repeatable && !options.timeout && !options.model);
  CHECK_EQUAL(options.file, "text.txt");
}

TEST(everything_can_be_said) {
  const Options options = parse_options(
      {"--target", "a:1", "--tls", "--tls-ca=ca.pem", "--token-file", "token", "--batch-size=7",
       "--in-flight", "9", "-", "--tasks", "topic,urgent", "--no-embedding", "--no-truncate",
       "--repeatable", "--timeout", "0.5"});
  CHECK_EQUAL(options.target, "a:1");
  CHECK(options.tls && options.repeatable && !options.embedding && !options.truncate);
  CHECK_EQUAL(options.tls_ca, "ca.pem");
  CHECK_EQUAL(options.token_file, "token");
  CHECK_EQUAL(options.batch_size, 7u);
  CHECK_EQUAL(options.in_flight, 9u);
  CHECK(options.tasks == (std::vector<std::string>{"topic", "urgent"}));
  CHECK_EQUAL(options.timeout->count(), 0.5);
  CHECK_EQUAL(options.file, "-");
}

TEST(a_file_may_look_like_an_option) {
  CHECK_EQUAL(parse_options({"--", "--odd"}).file, "--odd");
}

TEST(the_model_takes_no_file) {
  CHECK(parse_options({"--model"}).model);
  CHECK_THROWS(parse_options({"--model", "x"}), UsageError, "--model takes no FILE");
}

TEST(wrong_usage_is_told) {
  CHECK_THROWS(parse_options({}), UsageError, "FILE is missing (- is standard input)");
  CHECK_THROWS(parse_options({""}), UsageError, "FILE is missing (- is standard input)");
  CHECK_THROWS(parse_options({"a", "b"}), UsageError, "there is more than one FILE");
  CHECK_THROWS(parse_options({"--odd", "a"}), UsageError, "there is no option --odd");
  CHECK_THROWS(parse_options({"--tls=yes", "a"}), UsageError, "there is no option --tls=yes");
  CHECK_THROWS(parse_options({"a", "--target"}), UsageError, "--target wants a value");
  for (const std::string name : {"--target", "--tls-ca", "--token-file"}) {
    CHECK_THROWS(parse_options({"a", name, ""}), UsageError, name + " wants a value");
  }
  for (const std::string count : {"0", "-1", "x", "1x", "", "1.5", "99999999999999999999"}) {
    CHECK_THROWS(parse_options({"a", "--in-flight", count}), UsageError,
                 "--in-flight wants a whole number from 1 on");
  }
  for (const std::string seconds : {"0", "-1", "x", "1x", "", "nan"}) {
    CHECK_THROWS(parse_options({"a", "--timeout", seconds}), UsageError,
                 "--timeout wants a number of seconds above 0");
  }
  for (const std::string names : {"", "a,", ",a", "\xFF"}) {
    CHECK_THROWS(parse_options({"a", "--tasks", names}), UsageError,
                 "--tasks wants names with commas between them; --model prints them");
  }
}
