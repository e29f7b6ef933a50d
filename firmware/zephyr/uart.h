// Which UART is the protocol's.
#pragma once

#include <zephyr/devicetree.h>

#if DT_HAS_CHOSEN(tinyml_hil_uart)
#define HIL_UART DT_CHOSEN(tinyml_hil_uart)
#elif defined(CONFIG_UART_CONSOLE)
#error "The console's UART is the protocol's: set CONFIG_UART_CONSOLE=n, or choose another by tinyml-hil,uart in the devicetree"
#elif DT_HAS_CHOSEN(zephyr_console)
#define HIL_UART DT_CHOSEN(zephyr_console)
#else
#error "No UART: choose one by tinyml-hil,uart in the devicetree"
#endif
