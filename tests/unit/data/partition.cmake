witan_test(data_partition SOURCE test_partition.c ROOMS data num base LABELS unit LIBS m)
witan_fuzz(partition SOURCE "${PROJECT_SOURCE_DIR}/tests/fuzz/fuzz_partition.c"
    ROOMS data num base)
