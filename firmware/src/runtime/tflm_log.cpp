// TFLM's log sink. Defined here, it wins over an Arduino library's own, which prints on the port the protocol uses.
#include "runtime/tflm_log.h"

#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "tensorflow/lite/micro/debug_log.h"

namespace {

// Terminated text that drops what does not fit and goes on counting, as vsnprintf does.
class Text {
 public:
  Text(char* buffer, size_t capacity) : buffer_(buffer), capacity_(capacity) {
    if (capacity_ > 0) buffer_[0] = '\0';
  }

  void Put(char c) {
    if (size_ + 1 < capacity_) {
      buffer_[size_] = c;
      buffer_[size_ + 1] = '\0';
    }
    ++size_;
  }

  void Put(const char* text) {
    while (*text != '\0') Put(*text++);
  }

  void Put(uint64_t value, unsigned base) {
    char reversed[20];
    size_t count = 0;
    do {
      reversed[count++] = "0123456789abcdef"[value % base];
      value /= base;
    } while (value != 0);
    while (count > 0) Put(reversed[--count]);
  }

  void PutSigned(int64_t value) {
    if (value < 0) Put('-');
    Put(value < 0 ? -static_cast<uint64_t>(value) : static_cast<uint64_t>(value), 10);
  }

  size_t size() const { return size_; }

 private:
  char* buffer_;
  size_t capacity_;
  size_t size_ = 0;
};

constexpr size_t kCapacity = 160;
char log_text[kCapacity];
bool line_open = false;

void Log(const char* text) {
  size_t size = strlen(log_text);
  for (; *text != '\0'; ++text) {
    if (*text == '\r' || *text == '\n') {
      line_open = false;
      continue;
    }
    const bool joins = !line_open && size > 0;
    if (size + (joins ? 3 : 1) >= kCapacity) return;
    if (joins) {
      log_text[size++] = ';';
      log_text[size++] = ' ';
    }
    line_open = true;
    log_text[size++] = *text;
    log_text[size] = '\0';
  }
}

}  // namespace

namespace runtime {

const char* TflmLog() { return log_text; }

}  // namespace runtime

// Until 2023 TFLM formatted by itself, in micro_string.h, and logged finished text.
#if __has_include("tensorflow/lite/micro/micro_string.h")

extern "C" void DebugLog(const char* text) { Log(text); }

#else

// What TFLM's messages use of printf. The C library's own takes memory from the heap.
extern "C" int DebugVsnprintf(char* buffer, size_t capacity, const char* format, va_list arguments) {
  Text text(buffer, capacity);
  for (; *format != '\0'; ++format) {
    if (*format != '%') {
      text.Put(*format);
      continue;
    }
    ++format;
    while (*format != '\0' && strchr("-+ #.0123456789", *format) != nullptr) ++format;
    int longs = 0;
    for (; *format == 'l' || *format == 'z' || *format == 'h'; ++format) longs += *format == 'l' ? 1 : 0;
    switch (*format) {
      case 'd':
      case 'i': text.PutSigned(longs > 1 ? va_arg(arguments, long long) : va_arg(arguments, int)); break;
      case 'u': text.Put(longs > 1 ? va_arg(arguments, unsigned long long) : va_arg(arguments, unsigned), 10); break;
      case 'x':
      case 'X': text.Put(longs > 1 ? va_arg(arguments, unsigned long long) : va_arg(arguments, unsigned), 16); break;
      case 'p': text.Put(reinterpret_cast<uintptr_t>(va_arg(arguments, void*)), 16); break;
      case 'c': text.Put(static_cast<char>(va_arg(arguments, int))); break;
      case 's': text.Put(va_arg(arguments, const char*)); break;
      case 'f':
      case 'g': text.PutSigned(static_cast<int64_t>(va_arg(arguments, double))); break;  // Its whole part.
      case '\0': return static_cast<int>(text.size());
      default: text.Put(*format); break;
    }
  }
  return static_cast<int>(text.size());
}

extern "C" void DebugLog(const char* format, va_list arguments) {
  char line[kCapacity];
  DebugVsnprintf(line, sizeof line, format, arguments);
  Log(line);
}

#endif
