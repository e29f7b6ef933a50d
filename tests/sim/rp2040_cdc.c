// A USB CDC device on the RP2040 that echoes each byte plus one, polled: as little as the simulated host needs. It
// starts where the boot ROM would have copied the second stage from, and has none.
#include <stdint.h>

#define REG(address) (*(volatile uint32_t*)(address))
#define USB(offset) REG(0x50110000 + (offset))
#define DPRAM(offset) REG(0x50100000 + (offset))
#define BUFFER_IN(n) DPRAM(0x80 + 8 * (n))
#define BUFFER_OUT(n) DPRAM(0x84 + 8 * (n))
#define TIMER_LOW REG(0x40054028)
#define WATCHDOG REG(0x40058000)

enum { kAvailable = 1 << 10, kFull = 1 << 15, kPacket = 64 };

static const uint8_t kDevice[] = {18, 1, 0, 2, 2, 0, 0, 64, 0x8a, 0x2e, 0xc0, 0x00, 0, 1, 0, 0, 3, 1};
static const uint8_t kConfiguration[] = {
    9, 2, 66, 0, 2, 1, 0, 0x80, 50,  //
    9, 4, 0, 0, 1, 2, 2, 0, 0, 5, 0x24, 0, 0x10, 1, 4, 0x24, 2, 6, 7, 5, 0x83, 3, 8, 0, 255,  //
    9, 4, 1, 0, 2, 10, 0, 0, 0, 7, 5, 0x81, 2, 64, 0, 0, 7, 5, 0x02, 2, 64, 0, 0,
    // A trailing descriptor of a class, which hosts skip.
    9, 0x24, 6, 0, 1, 0, 0, 0, 0};
static const uint8_t kSerial[] = {10, 3, 'A', 0, 'B', 0, '1', 0, '2', 0};

static uint8_t packet[kPacket];
static uint32_t baud, dtr;

// Where the harness's own firmware rests.
__attribute__((noinline)) void _ZN4port5SleepEv(void) { __asm volatile("nop"); }

static volatile uint8_t* Buffer(uint32_t n, uint32_t out) {
  return (volatile uint8_t*)(0x50100100 + (n ? 0x40 * (2 * n + out) : 0));
}

static void WaitFor(uint32_t bit) {
  while ((USB(0x58) >> bit & 1) == 0) {
  }
  USB(0x58) = 1u << bit;
}

static void Send(uint32_t n, const uint8_t* src, uint32_t size) {
  for (uint32_t i = 0; i < size; ++i) Buffer(n, 0)[i] = src[i];
  BUFFER_IN(n) = kFull | kAvailable | size;
  WaitFor(2 * n);
}

static void Accept(uint32_t n, uint32_t size) { BUFFER_OUT(n) = kAvailable | size; }

static uint32_t Receive(uint32_t n) {
  const uint32_t size = BUFFER_OUT(n) & 0x3ff;
  for (uint32_t i = 0; i < size; ++i) packet[i] = Buffer(n, 1)[i];
  return size;
}

static void Answer(const uint8_t* src, uint32_t size, uint32_t wanted) {
  if (size > wanted) size = wanted;
  for (uint32_t done = 0; done < size; done += kPacket) {
    Send(0, src + done, size - done < kPacket ? size - done : kPacket);
  }
  Accept(0, 0);
  WaitFor(1);
}

static void Setup(void) {
  const uint32_t first = DPRAM(0), second = DPRAM(4);
  const uint32_t request = first >> 8 & 0xff, value = first >> 16, wanted = second >> 16;
  if (request == 6 && value >> 8 == 1) {
    Answer(kDevice, sizeof kDevice, wanted);
  } else if (request == 6 && value >> 8 == 2) {
    Answer(kConfiguration, sizeof kConfiguration, wanted);
  } else if (request == 6 && value >> 8 == 3) {
    Answer(kSerial, sizeof kSerial, wanted);
  } else if (request == 5) {
    Send(0, packet, 0);
  } else if (request == 9) {
    DPRAM(0x10 - 0x08) = 1u << 31 | 0x180;  // IN 1.
    DPRAM(0x14) = 1u << 31 | 0x240;         // OUT 2.
    Accept(2, kPacket);
    Send(0, packet, 0);
  } else if (request == 0x20) {
    Accept(0, kPacket);
    WaitFor(1);
    Receive(0);
    baud = packet[0] | packet[1] << 8 | packet[2] << 16;
    Send(0, packet, 0);
  } else if (request == 0x22) {
    dtr = value & 1;
    Send(0, packet, 0);
    if (baud == 1200 && !dtr) WATCHDOG = 1u << 31;
  } else {
    USB(0x68) = 1;
  }
}

static void Echo(void) {
  const uint32_t size = Receive(2);
  if (packet[0] == '?') REG(0x4006c004);  // Of the real-time counter? No: of TBMAN, which has one register.
  if (packet[0] == '!') __asm volatile("bkpt 7");
  if (packet[0] == '=') packet[0] = (uint8_t)('0' + dtr - 1);
  for (uint32_t i = 0; i < size; ++i) ++packet[i];
  if (dtr) Send(1, packet, size);
  Accept(2, kPacket);
}

static void Run(void) {
  for (const uint32_t since = TIMER_LOW; TIMER_LOW - since < 100000;) {
  }
  baud = dtr = 0;
  USB(0x40) = 1;
  USB(0x4c) = 1 << 16;
  for (;;) {
    const uint32_t status = USB(0x50);
    if (status >> 19 & 1) USB(0x50) = 1u << 19;
    if (status >> 17 & 1) {
      USB(0x50) = 1u << 17;
      Setup();
    }
    if (USB(0x58) >> 5 & 1) {
      USB(0x58) = 1u << 5;
      Echo();
    }
    _ZN4port5SleepEv();
  }
}

__attribute__((section(".start"), naked, used)) void Reset(void) {
  __asm volatile("ldr r0, =0x20042000\n mov sp, r0\n ldr r0, =%c0\n bx r0\n .pool" ::"i"(Run));
}
