// Firmware without a core of others has no heap, nor has that with STM32's Arduino core, which takes nothing from its own for
// what our port uses. The linker sends every call of an allocator here, also those from libraries (--wrap in
// platform/builder/main.py and platformio.ini), and the caller's address is the last that is heard of it.
#include "port/heap_trap.h"

#include <cstdint>

#include "format.h"
#include "port/fault_end.h"

void HeapTrap(const char* function, const void* caller) {
  static char line[96];
  TextBuffer text(line, sizeof line);
  text.Add("firmware fault: ").Add(function).Add(" called, but there is no heap; lr=0x");
  text.AddHex(reinterpret_cast<uint32_t>(caller), 8).Add('\n');
  EndWithFault(line);
}

extern "C" {
struct _reent;
void* __wrap_malloc(size_t) { HIL_TRAP("malloc"); }
void* __wrap_calloc(size_t, size_t) { HIL_TRAP("calloc"); }
void* __wrap_realloc(void*, size_t) { HIL_TRAP("realloc"); }
void* __wrap_memalign(size_t, size_t) { HIL_TRAP("memalign"); }
void __wrap_free(void*) { HIL_TRAP("free"); }
void* __wrap__malloc_r(_reent*, size_t) { HIL_TRAP("_malloc_r"); }
void* __wrap__calloc_r(_reent*, size_t, size_t) { HIL_TRAP("_calloc_r"); }
void* __wrap__realloc_r(_reent*, void*, size_t) { HIL_TRAP("_realloc_r"); }
void* __wrap__memalign_r(_reent*, size_t, size_t) { HIL_TRAP("_memalign_r"); }
void __wrap__free_r(_reent*, void*) { HIL_TRAP("_free_r"); }
}
