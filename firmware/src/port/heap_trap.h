#pragma once

#include <cstddef>

[[noreturn]] void HeapTrap(const char* function, const void* caller);

#define HIL_TRAP(function) HeapTrap(function, __builtin_return_address(0))
