include(GNUInstallDirs)

# add_plugin(NAME SOURCES...): libadze_NAME.so, which exports adze_plugin and nothing else.
function(add_plugin name)
  add_library(adze_${name} MODULE ${ARGN} ${shared_host_sources} runtime/plugin_fail.cpp)
  target_link_libraries(adze_${name} PRIVATE adze_interface Threads::Threads)
  target_link_options(adze_${name} PRIVATE -Wl,--no-undefined -Wl,--version-script=${PROJECT_SOURCE_DIR}/cmake/plugin.map)
  set_target_properties(adze_${name} PROPERTIES PREFIX lib LINK_DEPENDS ${PROJECT_SOURCE_DIR}/cmake/plugin.map)
  install(TARGETS adze_${name} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
endfunction()
