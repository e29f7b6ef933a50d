// What the C and C++ libraries want of a system, for runtimes that bring code of others. There is no heap: TFLM refers
// to it in functions that nothing calls and the linker drops. A call that is made after all, like an assert, is a
// fault that the handler reports with its address.
#include <cstddef>
#include <cstdlib>
#include <new>

extern "C" {

void* malloc(size_t) { __builtin_trap(); }

void* calloc(size_t, size_t) { __builtin_trap(); }

void* realloc(void*, size_t) { __builtin_trap(); }

void free(void*) { __builtin_trap(); }

void abort() { __builtin_trap(); }

void __assert_func(const char*, int, const char*, const char*) { __builtin_trap(); }

void __cxa_pure_virtual() { __builtin_trap(); }

}  // extern "C"

void* operator new(size_t) { __builtin_trap(); }

void operator delete(void*) noexcept { __builtin_trap(); }

void operator delete(void*, size_t) noexcept { __builtin_trap(); }
