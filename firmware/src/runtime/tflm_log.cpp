// TFLM's log sink. Defined here, it wins over an Arduino library's own, which prints on the port the protocol uses.
#include "runtime/tflm_log.h"

#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "format.h"
#include "tensorflow/lite/micro/debug_log.h"

namespace {

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

void ForgetTflmLog() {
  log_text[0] = '\0';
  line_open = false;
}

}  // namespace runtime

// Until 2023 TFLM formatted by itself, in micro_string.h, and logged finished text.
#if __has_include("tensorflow/lite/micro/micro_string.h")

extern "C" void DebugLog(const char* text) { Log(text); }

#else

namespace {

void AddSigned(TextBuffer* text, int64_t value) {
  if (value < 0) text->Add('-');
  text->AddNumber(value < 0 ? -static_cast<uint64_t>(value) : static_cast<uint64_t>(value));
}

}  // namespace

// What TFLM's messages use of printf. The C library's own takes memory from the heap.
extern "C" int DebugVsnprintf(char* buffer, size_t capacity, const char* format, va_list arguments) {
  TextBuffer text(buffer, capacity);
  for (; *format != '\0'; ++format) {
    if (*format != '%') {
      text.Add(*format);
      continue;
    }
    ++format;
    while (*format != '\0' && strchr("-+ #.0123456789", *format) != nullptr) ++format;
    int longs = 0;
    for (; *format == 'l' || *format == 'z' || *format == 'h'; ++format) longs += *format == 'l' ? 1 : 0;
    switch (*format) {
      case 'd':
      case 'i': AddSigned(&text, longs > 1 ? va_arg(arguments, long long) : va_arg(arguments, int)); break;
      case 'u': text.AddNumber(longs > 1 ? va_arg(arguments, unsigned long long) : va_arg(arguments, unsigned)); break;
      case 'x':
      case 'X': text.AddHex(longs > 1 ? va_arg(arguments, unsigned long long) : va_arg(arguments, unsigned)); break;
      case 'p': text.AddHex(reinterpret_cast<uintptr_t>(va_arg(arguments, void*))); break;
      case 'c': text.Add(static_cast<char>(va_arg(arguments, int))); break;
      case 's': text.Add(va_arg(arguments, const char*)); break;
      case 'f':
      case 'g': AddSigned(&text, static_cast<int64_t>(va_arg(arguments, double))); break;  // Its whole part.
      case '\0': return static_cast<int>(text.size());
      default: text.Add(*format); break;
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
