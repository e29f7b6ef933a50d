"""PlatformIO `post:` script: the generated model can include the headers of the libraries.

Libraries are known only now, after the build was declared and before it begins. Asking them while
it runs would be a race: PlatformIO changes its working folder to answer, for all compilers started
meanwhile.
"""

Import("env")  # noqa: F821 (given by SCons)

libraries = [lib for lib in env.GetLibBuilders() if lib.is_built]  # noqa: F821
env.Replace(  # noqa: F821
    HIL_LIBRARY_INCLUDES=[
        *env.get("CPPPATH", []),  # noqa: F821
        *(path for lib in libraries for path in lib.get_include_dirs()),
    ]
)
