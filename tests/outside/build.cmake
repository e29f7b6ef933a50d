# Configures and builds: what `cmake -S . -B out && cmake --build out` would do in a shell.
set(out "$ENV{HIL_BUILD_DIR}")
execute_process(
  COMMAND ${CMAKE_COMMAND} -S ${CMAKE_CURRENT_LIST_DIR} -B ${out}
  COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${CMAKE_COMMAND} --build ${out} COMMAND_ERROR_IS_FATAL ANY)
