#include "input_file.h"

#include <cerrno>
#include <system_error>

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "lines.h"

namespace twinhead {

InputFile::InputFile(const std::string& path)
    : path_(path), file_(path == "-" ? STDIN_FILENO : ::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
  if (file_ < 0 || ::pipe(stop_pipe_) < 0) fail();
}

InputFile::~InputFile() {
  stop();
  ::close(stop_pipe_[0]);
  if (file_ != STDIN_FILENO) ::close(file_);
}

std::size_t InputFile::read(char* data, std::size_t size) {
  for (;;) {
    pollfd waits[] = {{file_, POLLIN, 0}, {stop_pipe_[0], POLLIN, 0}};
    ssize_t count = -1;
    if (::poll(waits, 2, -1) >= 0) {
      if (waits[1].revents != 0) return 0;
      count = ::read(file_, data, size);
    }
    if (count >= 0) return static_cast<std::size_t>(count);
    // A signal is no error, nor is somebody else's having been quicker at a shared terminal.
    if (errno != EINTR && errno != EAGAIN) fail();
  }
}

void InputFile::stop() {
  if (stop_pipe_[1] >= 0) ::close(stop_pipe_[1]);
  stop_pipe_[1] = -1;
}

void InputFile::fail() const {
  const std::string name = path_ == "-" ? "standard input" : path_;
  throw InputError("cannot read " + name + ": " + std::generic_category().message(errno));
}

}  // namespace twinhead
