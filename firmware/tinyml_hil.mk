# For a Makefile of your own: include $(HIL_FIRMWARE_DIR)/tinyml_hil.mk, then compile HIL_SOURCES (.cpp, .cc and .c) with
# HIL_FLAGS. C++17 with -fno-exceptions -fno-rtti is enough. Blanks in paths are more than make can do.
HIL_MAX_PAYLOAD ?= 1024
include $(HIL_MODEL_DIR)/hil_model.mk
HIL_ROOT := $(HIL_FIRMWARE_DIR)/src
HIL_SOURCES := \
  $(wildcard $(foreach part,. answer measure wire,$(HIL_ROOT)/$(part)/*.cpp)) \
  $(HIL_ROOT)/port/linked.cpp $(HIL_RUNTIME_SOURCES) $(HIL_MODEL_SOURCES) $(HIL_LIBRARY_SOURCES)
HIL_FLAGS := -I$(HIL_ROOT) -I$(HIL_FIRMWARE_DIR)/include \
  $(addprefix -I,$(HIL_MODEL_INCLUDES) $(HIL_LIBRARY_INCLUDES)) \
  $(addprefix -D,$(HIL_MODEL_DEFINES) $(HIL_LIBRARY_DEFINES)) $(if $(HIL_PROFILING),-DHIL_PROFILE) \
  -DHIL_BOARD=\"$(HIL_BOARD_ID)\" -DHIL_MAX_PAYLOAD=$(HIL_MAX_PAYLOAD)
