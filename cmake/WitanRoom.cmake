# witan_room(NAME SOURCES a.c b.c [DEPS room...] [LIBS target...])
# One folder, one static library witan_NAME. DEPS are rooms (public: their headers
# appear in ours); LIBS are third-party and private, so a fence holds by linking.
# Headers are included by path from the source root or from common/:
#   #include "base/status.h"   #include "coordinator/core/coordinator.h"
function(witan_room name)
    cmake_parse_arguments(ARG "" "" "SOURCES;DEPS;LIBS" ${ARGN})
    add_library(witan_${name} STATIC ${ARG_SOURCES})
    target_include_directories(witan_${name} PUBLIC
        "${PROJECT_SOURCE_DIR}/common" "${PROJECT_SOURCE_DIR}")
    target_link_libraries(witan_${name} PUBLIC witan_options)
    foreach(dep IN LISTS ARG_DEPS)
        target_link_libraries(witan_${name} PUBLIC witan_${dep})
    endforeach()
    target_link_libraries(witan_${name} PRIVATE ${ARG_LIBS})
endfunction()
