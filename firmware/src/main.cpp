#include <cstddef>
#include <cstdint>

#include "app.h"
#include "port/port.h"
#include "protocol/board.h"

// HIL_BOARD and HIL_MAX_PAYLOAD come from the board's env in platformio.ini.
namespace {

BoardBuffers<HIL_MAX_PAYLOAD> buffers;
Board board(HIL_BOARD, &buffers);
uint8_t chunk[64];

}  // namespace

namespace app {

void Setup() {
  const Status port_status = port::Setup();
  board.Setup(port_status);
}

void Poll() {
  const size_t size = port::Read(chunk, sizeof chunk);
  if (size > 0) {
    board.Feed(chunk, size);
  } else {
    board.Idle();
    port::Sleep();
  }
}

}  // namespace app
