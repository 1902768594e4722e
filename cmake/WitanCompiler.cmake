# Warnings and sanitizers as interface targets: no global flags, so that a room
# shows what it is built with. Fast-math is refused: NaN checks and reproducible
# sums depend on IEEE arithmetic (docs/decisions/0003-reproducible-numbers.md).
foreach(flags IN ITEMS "${CMAKE_C_FLAGS}" "${CMAKE_C_FLAGS_RELEASE}")
    if(flags MATCHES "-Ofast|-ffast-math|-funsafe-math")
        message(FATAL_ERROR "witan: fast-math breaks NaN checks and reproducibility; remove it from CMAKE_C_FLAGS")
    endif()
endforeach()

add_library(witan_options INTERFACE)
target_compile_definitions(witan_options INTERFACE WITAN_VERSION="${PROJECT_VERSION}")
target_compile_features(witan_options INTERFACE c_std_17)
target_compile_definitions(witan_options INTERFACE _XOPEN_SOURCE=700 _DEFAULT_SOURCE)
target_compile_options(witan_options INTERFACE
    -fvisibility=hidden -ffp-contract=off
    -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wcast-qual
    -Wwrite-strings -Wvla -Wformat=2 -Wundef -Wdouble-promotion)
if(WITAN_WERROR)
    target_compile_options(witan_options INTERFACE -Werror)
endif()
# What is built to be used (not to be debugged) gets the compiler's defences; sanitizers
# bring their own. tests/lint/hardening.py reads them back from the program.
if(CMAKE_BUILD_TYPE STREQUAL "RelWithDebInfo" AND NOT WITAN_SANITIZE)
    target_compile_definitions(witan_options INTERFACE _FORTIFY_SOURCE=2)
    target_compile_options(witan_options INTERFACE
        -fstack-protector-strong -fstack-clash-protection -fcf-protection=full)
endif()
target_compile_options(witan_options INTERFACE
    "-ffile-prefix-map=${PROJECT_SOURCE_DIR}=." "-ffile-prefix-map=${CMAKE_BINARY_DIR}=build")
target_link_options(witan_options INTERFACE -Wl,-z,relro,-z,now,-z,noexecstack,--as-needed)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
if(WITAN_SANITIZE)
    string(REPLACE ";" "," sanitizers "${WITAN_SANITIZE}")
    target_compile_options(witan_options INTERFACE
        -fsanitize=${sanitizers} -fno-omit-frame-pointer -fno-sanitize-recover=all)
    target_link_options(witan_options INTERFACE -fsanitize=${sanitizers})
endif()
if(WITAN_FUZZ)
    # The rooms are instrumented too: a fuzzer that sees only its harness is blind.
    target_compile_options(witan_options INTERFACE -fsanitize=fuzzer-no-link)
    target_link_options(witan_options INTERFACE -fsanitize=fuzzer-no-link)
endif()
