#include <cstddef>
#include <cstdint>

#include "answer/server.h"
#include "app.h"
#include "port/port.h"

namespace {

ServerBuffers<HIL_MAX_PAYLOAD> buffers;
Server server(HIL_BOARD, &buffers);
uint8_t chunk[64];

}  // namespace

namespace app {

void Setup() {
  const Status port_status = port::Setup();
  server.Setup(port_status);
}

void Poll() {
  const size_t size = port::Read(chunk, sizeof chunk);
  if (size > 0) {
    server.Feed(chunk, size);
  } else {
    server.Idle();
    port::Sleep();
  }
}

}  // namespace app
