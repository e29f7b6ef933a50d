#pragma once

[[noreturn]] void EndWithFault(const char* line);  // Says so through semihosting; QEMU then ends with status 70.
