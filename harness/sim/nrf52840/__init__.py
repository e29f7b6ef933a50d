"""Nordic's nRF52840: memories and peripherals. nRF52840 Product Specification v1.7."""
