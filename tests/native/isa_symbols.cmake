# Fails when an object of the cpu kernels has a mergeable symbol outside its instruction set's namespace: the linker would keep one copy of
# it for all sets, and a processor without AVX-512 might run the AVX-512 one.
#   cmake -DNM=nm -DISA=avx512 -DOBJECTS="a.o;b.o" -P isa_symbols.cmake
foreach(object IN LISTS OBJECTS)
  execute_process(COMMAND ${NM} -C ${object} OUTPUT_VARIABLE symbols COMMAND_ERROR_IS_FATAL ANY)
  string(REGEX MATCHALL "[^\n]* [WVu] [^\n]*" mergeable "${symbols}")
  foreach(line IN LISTS mergeable)
    if(NOT line MATCHES "adze::${ISA}::")
      list(APPEND strays "${object}: ${line}")
    endif()
  endforeach()
endforeach()
if(strays)
  list(JOIN strays "\n" strays)
  message(FATAL_ERROR "mergeable symbols outside adze::${ISA}:\n${strays}")
endif()
