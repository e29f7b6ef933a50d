"""PlatformIO `pre:` script of uploads by harness/rig/flash.py, which run with `nobuild`.

The harness has put this very board into its bootloader and found its port. PlatformIO would touch
it once more, and then take the first new port that it sees, which can be another board's.
"""

import shutil

Import("env")  # noqa: F821 (given by SCons)

board = env.BoardConfig()  # noqa: F821
board.update("upload.use_1200bps_touch", False)
board.update("upload.wait_for_upload_port", False)
board.update("upload.disable_flushing", True)

if env.subst("$UPLOAD_PROTOCOL") == "sam-ba":  # noqa: F821
    # With `nobuild`, nordicnrf52 uploads firmware.hex whatever the protocol, and bossac writes a
    # file's bytes as they are: text, in that case.
    build = env.subst("$BUILD_DIR")  # noqa: F821
    shutil.copy(f"{build}/firmware.bin", f"{build}/firmware.hex")

    port = env.subst("$UPLOAD_PORT")  # noqa: F821

    def whole_path(source, target, env):
        """The platform hands bossac a port's last name only, which it looks for in /dev."""
        flags = [flag.replace("$UPLOAD_PORT", port) for flag in env["UPLOADERFLAGS"]]
        env.Replace(UPLOADERFLAGS=flags)

    if port.count("/") > 2:
        env.AddPreAction("upload", whole_path)  # noqa: F821

platform = env.PioPlatform()  # noqa: F821
if "framework-arduinoespressif32" in platform.packages:
    # The framework's own script names these images, and runs only in builds.
    first = "0x1000" if board.get("build.mcu") in ("esp32", "esp32s2") else "0x0000"
    framework = platform.get_package_dir("framework-arduinoespressif32")
    env.Append(  # noqa: F821
        FLASH_EXTRA_IMAGES=[
            (first, "$BUILD_DIR/bootloader.bin"),
            ("0x8000", "$BUILD_DIR/partitions.bin"),
            ("0xe000", f"{framework}/tools/partitions/boot_app0.bin"),
        ]
    )
