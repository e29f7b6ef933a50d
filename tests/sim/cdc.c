// A USB CDC device on the nRF52840 that echoes each byte plus one: as little as the simulated host needs, polled.
#include <stdint.h>

#define REG(address) (*(volatile uint32_t*)(address))
#define USBD(offset) REG(0x40027000 + (offset))
#define GPREGRET REG(0x4000051c)

extern void Reset(void);
static void Stuck(void) {
  for (;;) {
  }
}
__attribute__((section(".vectors"), used)) static void (*const vectors[16])(void) = {
    (void (*)(void))0x20010000, Reset, Stuck, Stuck, Stuck, Stuck, Stuck, Stuck,
    Stuck, Stuck, Stuck, Stuck, Stuck, Stuck, Stuck, Stuck};

static const uint8_t kDevice[] = {18, 1, 0, 2, 2, 0, 0, 64, 0x41, 0x23, 0x5a, 0x80, 0, 1, 0, 0, 3, 1};
static const uint8_t kConfiguration[] = {
    9, 2, 66, 0, 2, 1, 0, 0x80, 50,  //
    9, 4, 0, 0, 1, 2, 2, 0, 0, 5, 0x24, 0, 0x10, 1, 4, 0x24, 2, 6, 7, 5, 0x83, 3, 8, 0, 255,  //
    9, 4, 1, 0, 2, 10, 0, 0, 0, 7, 5, 0x81, 2, 64, 0, 0, 7, 5, 0x02, 2, 64, 0, 0,
    // A trailing descriptor of a class, which hosts skip.
    9, 0x24, 6, 0, 1, 0, 0, 0, 0};
static const uint8_t kSerial[] = {34, 3, 'F', 0, 'F', 0, 'F', 0, 'F', 0, '4', 0, '5', 0, '6', 0, '7', 0,
                                  '8', 0, '9', 0, 'A', 0, 'B', 0, 'C', 0, 'D', 0, 'E', 0, 'F', 0};

static uint8_t buffer[64], control[64], coding[8];
static volatile uint32_t baud, dtr, step;

static uint32_t Happened(uint32_t offset) {
  const uint32_t value = USBD(offset);
  if (value) USBD(offset) = 0;
  return value;
}

static void Send0(const uint8_t* src, uint32_t size, uint32_t wanted) {
  if (size > wanted) size = wanted;
  for (uint32_t done = 0; done < size;) {
    uint32_t part = size - done < 64 ? size - done : 64;
    for (uint32_t i = 0; i < part; ++i) control[i] = src[done + i];
    USBD(0x600) = (uint32_t)control;
    USBD(0x604) = part;
    USBD(0x04) = 1;
    while (!Happened(0x128)) {
    }
    done += part;
  }
  USBD(0x50) = 1;
}

static void Setup(void) {
  const uint32_t request = USBD(0x484), kind = USBD(0x48c);
  const uint32_t wanted = USBD(0x498) | USBD(0x49c) << 8;
  if (request == 6 && kind == 1) {
    Send0(kDevice, sizeof kDevice, wanted);
  } else if (request == 6 && kind == 2) {
    Send0(kConfiguration, sizeof kConfiguration, wanted);
  } else if (request == 6 && kind == 3) {
    Send0(kSerial, sizeof kSerial, wanted);
  } else if (request == 9) {
    USBD(0x510) = 0x0b;
    USBD(0x514) = 0x05;
    USBD(0x4a8) = 0;  // Endpoint 2 accepts.
    USBD(0x50) = 1;
  } else if (request == 0x20) {
    USBD(0x700) = (uint32_t)coding;
    USBD(0x704) = 7;
    USBD(0x4c) = 1;
    while (!Happened(0x128)) {
    }
    USBD(0x28) = 1;
    while (!Happened(0x130)) {
    }
    baud = coding[0] | coding[1] << 8 | coding[2] << 16;
    USBD(0x50) = 1;
  } else if (request == 0x22) {
    dtr = USBD(0x488) & 1;
    USBD(0x50) = 1;
    if (baud == 1200 && !dtr) {
      GPREGRET = 0xb0;
      REG(0xe000ed0c) = 0x05fa0004;
    }
  } else {
    USBD(0x54) = 1;
  }
}

static void Echo(void) {
  const uint32_t size = USBD(0x4a8);
  USBD(0x728) = (uint32_t)buffer;
  USBD(0x72c) = size;
  USBD(0x30) = 1;
  while (!Happened(0x138)) {
  }
  for (uint32_t i = 0; i < size; ++i) buffer[i] += step;
  USBD(0x614) = (uint32_t)buffer;
  USBD(0x618) = size;
  USBD(0x08) = 1;
  while ((USBD(0x46c) & 2) == 0) {
  }
  USBD(0x46c) = 2;
}

void Reset(void) {
  step = 1;
  if (GPREGRET == 0xb0) {  // What a bootloader does with it.
    GPREGRET = 0;
    step = 2;
  }
  USBD(0x500) = 1;
  while ((USBD(0x400) & 1 << 11) == 0) {
  }
  USBD(0x400) = 1 << 11;
  USBD(0x504) = 1;
  for (;;) {
    if (Happened(0x15c)) Setup();
    if (USBD(0x46c) >> 18 & 1) {
      USBD(0x46c) = 1 << 18;
      Echo();
    }
  }
}
