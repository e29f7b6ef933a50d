#pragma once

// The core's headers answer to their authors' warnings, not to ours.
#pragma GCC system_header

#if defined(ARDUINO_ARCH_MBED)
#include <chrono>  // Its C++17 part does not survive the core's macro `abs`.
#endif

#include <Arduino.h>
#if defined(ARDUINO_ARCH_MBED) && defined(SERIAL_CDC)
#include <USB/PluggableUSBSerial.h>
#endif
#if defined(ARDUINO_ARCH_MBED)
#include <rtx_os.h>
#elif defined(ARDUINO_ARCH_STM32)
extern "C" char* _sbrk(int increment);
extern "C" uint32_t _estack;  // From the linker script.
#endif
#if defined(TARGET_RP2040)
#include <hardware/clocks.h>
#include <hardware/structs/timer.h>
#include <hardware/watchdog.h>
#endif
