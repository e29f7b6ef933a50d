// What the C and C++ libraries want of a system, for runtimes that come with code of others. There is no heap: nothing
// here supplies one, so a use of malloc is a link error. What would free memory or give up is a fault with its address.
#include <cstddef>
#include <cstdlib>

extern "C" void abort() { __builtin_trap(); }

// What assert() comes to. The C library's own prints, and printing takes memory from the heap.
extern "C" void __assert_func(const char*, int, const char*, const char*) { __builtin_trap(); }

extern "C" void __cxa_pure_virtual() { __builtin_trap(); }

// Virtual destructors refer to these. Nothing is allocated, so nothing calls them.
void operator delete(void*) noexcept { __builtin_trap(); }

void operator delete(void*, size_t) noexcept { __builtin_trap(); }
