#pragma once

[[noreturn]] void EndWithFault(const char* line);  // Says so through the second UART; QEMU then ends.
