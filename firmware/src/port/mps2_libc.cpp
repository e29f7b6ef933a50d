// What the C and C++ libraries want of a system, for runtimes that bring code of others. The heap
// is in mps2_heap.cpp. A call that is made after all, like an assert, is a fault that the handler reports with its address.
#include <cstdlib>

extern "C" {

void abort() { __builtin_trap(); }

void __assert_func(const char*, int, const char*, const char*) { __builtin_trap(); }

void __cxa_pure_virtual() { __builtin_trap(); }

}  // extern "C"
