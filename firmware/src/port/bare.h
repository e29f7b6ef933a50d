// What the ports without an operating system or a core of others share: start, faults, and a heap that nobody may use.
#pragma once

extern "C" {
void ResetHandler();
void FaultHandler();  // For every exception and interrupt that a port does not use.
}

// Supplied by each such port: hands on a line of text that ends in a newline, then stops.
[[noreturn]] void EndWithFault(const char* line);
