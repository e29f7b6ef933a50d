// C++'s allocators, as those of C in bare_heap.cpp. A core of others brings its own, which call malloc() and free().
#include <cstddef>
#include <new>

#include "port/heap_trap.h"

void* operator new(size_t) { HIL_TRAP("operator new"); }
void* operator new[](size_t) { HIL_TRAP("operator new[]"); }
void* operator new(size_t, const std::nothrow_t&) noexcept { HIL_TRAP("operator new"); }
void* operator new[](size_t, const std::nothrow_t&) noexcept { HIL_TRAP("operator new[]"); }
void* operator new(size_t, std::align_val_t) { HIL_TRAP("operator new"); }
void* operator new[](size_t, std::align_val_t) { HIL_TRAP("operator new[]"); }
void operator delete(void*) noexcept { HIL_TRAP("operator delete"); }
void operator delete[](void*) noexcept { HIL_TRAP("operator delete[]"); }
void operator delete(void*, size_t) noexcept { HIL_TRAP("operator delete"); }
void operator delete[](void*, size_t) noexcept { HIL_TRAP("operator delete[]"); }
void operator delete(void*, std::align_val_t) noexcept { HIL_TRAP("operator delete"); }
void operator delete[](void*, std::align_val_t) noexcept { HIL_TRAP("operator delete[]"); }
void operator delete(void*, size_t, std::align_val_t) noexcept { HIL_TRAP("operator delete"); }
void operator delete[](void*, size_t, std::align_val_t) noexcept { HIL_TRAP("operator delete[]"); }
