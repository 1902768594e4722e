add_library(witan_data_fixtures STATIC fixtures.c)
target_include_directories(witan_data_fixtures PUBLIC "${CMAKE_CURRENT_SOURCE_DIR}")
target_link_libraries(witan_data_fixtures PUBLIC witan_test_support witan_data
    PRIVATE PkgConfig::LIBZIP PkgConfig::ZLIB)
witan_test(data_dataset SOURCE test_dataset.c ROOMS data LABELS unit)
foreach(format IN ITEMS idx cifar npy npz csv load text text_load)
    if(EXISTS "${CMAKE_CURRENT_SOURCE_DIR}/test_${format}.c")
    witan_test(data_${format} SOURCE test_${format}.c ROOMS data LABELS unit
        LIBS witan_data_fixtures)
    endif()
endforeach()
witan_test(data_package SOURCE test_package.c ROOMS data LABELS unit)
foreach(format IN ITEMS idx npy npz cifar csv package text)
    witan_fuzz(${format} SOURCE "${PROJECT_SOURCE_DIR}/tests/fuzz/fuzz_${format}.c"
        ROOMS data)
endforeach()
