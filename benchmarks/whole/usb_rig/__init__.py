"""A bench rig without hardware: a Debian guest with real kernel, udev, ser2net and labgrid, whose
USB hubs and FTDI bridges are QEMU's, and boards outside of it at the other ends of their wires.
"""
