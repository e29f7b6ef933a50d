#pragma once

#include <cstddef>

struct Token {
  const char* text;
  size_t size;
};

// Takes the next token off [*at, end). Empty when there is none.
Token NextToken(const char** at, const char* end, const char* separators);

bool operator==(const Token& token, const char* text);
