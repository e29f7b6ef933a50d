// The harness's end of the wire in a firmware of your own, by three calls: see docs/boards.md.
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// What the library needs of a board. Functions that may be left out are NULL.
typedef struct {
  uint32_t (*ticks)(void);    // Free-running, wrapping at 2^32. Of the CPU's clock where there is such a counter.
  uint32_t ticks_per_second;  // Above 0, and constant.
  // Hands bytes to the serial port; returns once all of them are queued, and 0 if that failed.
  int (*write)(const uint8_t* bytes, size_t size);
  void (*reset)(void);  // Restarts the chip, once everything written has left it. It does not return.

  // May be left out: returns when a byte may have come, or earlier; at the latest after half the time in which `ticks` wraps, or
  // the board's time stands still meanwhile. Interrupts are on: see hil_waiting.
  void (*sleep)(void);
  // May be left out: hold interrupts off while an invoke is timed, and let them on again. `ticks` goes on between them.
  void (*quiet)(void);
  void (*loud)(void);
  // May be left out: the stack's size, and how deep it was.
  void (*stack)(uint32_t* capacity_bytes, uint32_t* used_bytes);
  // May be left out: the chip's own id, printable, not terminated; returns its size, at most `capacity`.
  size_t (*unique_id)(char* text, size_t capacity);
  // May be left out: a pin that is 1 while the invokes of a RUN last, for a meter. It is 0 before the first call.
  void (*window)(int open);
} hil_port;

void hil_setup(const hil_port* port);                   // Once, before the others. `port` must stay.
void hil_received(const uint8_t* bytes, size_t size);   // What has come, from the receive interrupt or from a task.
void hil_poll(void);                                    // Forever after, from one task or the main loop.
int hil_waiting(void);  // Whether bytes wait: a sleep that is no task's looks with interrupts off, or it could miss one.

#ifdef __cplusplus
}
#endif
