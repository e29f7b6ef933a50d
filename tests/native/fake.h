#pragma once

#include <cstdint>
#include <string>

#include "status.h"

// What the fake port and runtime of the native tests share with their driver.
namespace fake {

struct Reset {};  // Thrown by port::Reset().

extern std::string sent;
extern Status setup_status;  // For the next boot.
extern int invoke_fails;     // The Nth invoke from now; 0: none.
extern uint32_t extra_ticks;  // The Nth invoke from now, counted from 0, takes N times this longer.
extern std::string note;     // What Load() says.
extern uint32_t stack_bytes;  // Three tenths of it used.
extern uint32_t invokes;      // Since extra_ticks was set.
extern bool echo;             // Another model: tensors of all types, whose outputs are the inputs. Survives a boot.
extern bool stateful;         // The second output has the invokes since the state's reset added. Survives a boot.
extern int reset_fails;       // The Nth reset of the state from now; 0: none.
extern uint32_t steps;        // Of the model, at most kMostSteps; 0: it cannot be observed. Survives a boot.
extern std::string windows;  // An up or a down for each call of port::Window().
extern bool energy;           // It is that of MLPerf's energy mode. Survives a boot.
extern bool marks;            // A pin marks windows. Survives a boot.
extern bool rates;            // The line has faster rates. Survives a boot.
extern uint32_t room;         // For a model that comes over the link, at most kMostRoom; 0: it takes none. Survives a boot.
constexpr uint32_t kMostRoom = 1000;
constexpr uint32_t kMostSteps = 64;

void Boot();
void Wait(uint32_t ms);

}  // namespace fake
