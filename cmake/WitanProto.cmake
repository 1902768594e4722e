# witan_proto(NAME FILE.proto...)
# Generates C from files of proto/ (paths relative to it) and builds the static library
# NAME; users write #include <witan/v1/x.pb-c.h>. It is compiled as the rooms are,
# sanitizers and fuzzing included, but without warnings: nobody here writes that code.
function(witan_proto name)
    set(generated "${CMAKE_CURRENT_BINARY_DIR}/${name}")
    set(sources)
    foreach(file IN LISTS ARGN)
        string(REGEX REPLACE "\\.proto$" ".pb-c" stem "${generated}/${file}")
        add_custom_command(OUTPUT "${stem}.c" "${stem}.h"
            COMMAND "${CMAKE_COMMAND}" -E make_directory "${generated}"
            COMMAND "${PROTOC_C}" "--c_out=${generated}"
                "--proto_path=${PROJECT_SOURCE_DIR}/proto" "${file}"
            DEPENDS "${PROJECT_SOURCE_DIR}/proto/${file}"
            COMMENT "Generating C from ${file}" VERBATIM)
        list(APPEND sources "${stem}.c" "${stem}.h")
    endforeach()
    add_library(${name} STATIC ${sources})
    set_target_properties(${name} PROPERTIES POSITION_INDEPENDENT_CODE ON)
    target_include_directories(${name} SYSTEM PUBLIC "${generated}")
    target_compile_options(${name} PRIVATE -w)
    target_link_libraries(${name} PRIVATE witan_options PUBLIC PkgConfig::PROTOBUFC)
endfunction()
