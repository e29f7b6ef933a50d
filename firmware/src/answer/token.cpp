#include "answer/token.h"

#include <cstring>

namespace {

bool IsOneOf(char c, const char* set) { return c != '\0' && strchr(set, c) != nullptr; }

}  // namespace

Token NextToken(const char** at, const char* end, const char* separators) {
  while (*at < end && IsOneOf(**at, separators)) ++*at;
  const char* start = *at;
  while (*at < end && !IsOneOf(**at, separators)) ++*at;
  return {start, static_cast<size_t>(*at - start)};
}

bool operator==(const Token& token, const char* text) {
  return strlen(text) == token.size && memcmp(token.text, text, token.size) == 0;
}
