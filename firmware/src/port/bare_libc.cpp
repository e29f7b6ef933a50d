// What the C and C++ libraries need of a system, for runtimes with foreign code; the heap is in bare_heap.cpp. A call of
// one of these, as by a failed assert, is a fault that the handler reports with its address.
#include <cstdlib>

extern "C" {

void abort() { __builtin_trap(); }

void __assert_func(const char*, int, const char*, const char*) { __builtin_trap(); }

void __cxa_pure_virtual() { __builtin_trap(); }

}  // extern "C"
