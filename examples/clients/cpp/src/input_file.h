// The file with the text.
#pragma once

#include <cstddef>
#include <string>

namespace twinhead {

// A file or standard input, whose reading can be stopped: a pipe may say nothing for hours.
class InputFile {
 public:
  // Opens a file; "-" is standard input. Throws InputError.
  explicit InputFile(const std::string& path);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  // Waits for up to `size` bytes; returns how many there are, 0 at the end. Throws InputError.
  std::size_t read(char* data, std::size_t size);

  // From any thread: the file ends here, also for who waits for it.
  void stop();

 private:
  [[noreturn]] void fail() const;

  std::string path_;
  int file_ = -1;
  int stop_pipe_[2] = {-1, -1};  // closing its second end wakes who waits at its first
};

}  // namespace twinhead
