#pragma once

#include "Arduino.h"

namespace fake {

struct UsbSerial {
  bool connected() const { return world.terminal; }
  void send_nb(uint8_t* src, uint32_t size, uint32_t* actual, bool now = true);
};

}  // namespace fake

extern fake::UsbSerial _SerialUSB;
