/* fuzz_partition.c - index files of two clients and a transfer set, as a stranger might
 * write them. Input: flags, then two lengths that cut the rest into client_00.idx,
 * client_01.idx and public.idx (or client_01.test.idx). Whatever is accepted must be
 * disjoint and in range. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "data/partition.h"

enum {
    SAMPLES = 40,
    CLASSES = 4
};

static char directory[64];

static void
remove_directory(void)
{
    static const char *const names[] = {"client_00.idx", "client_01.idx", "public.idx",
                                        "client_00.test.idx", "client_01.test.idx"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[128];
        (void)snprintf(path, sizeof path, "%s/%s", directory, names[i]);
        (void)unlink(path);
    }
    (void)rmdir(directory);
}

/* Size 0 leaves the file out when `optional`. */
static void
write_file(const char *name, const uint8_t *bytes, size_t size, int optional)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", directory, name);
    (void)unlink(path);
    if (optional && size == 0) {
        return;
    }
    FILE *file = fopen(path, "wb");
    if (file == NULL || fwrite(bytes, 1, size, file) != size || fclose(file) != 0) {
        abort();
    }
}

static void
claim(uint8_t *seen, const witan_indices *list)
{
    for (size_t i = 0; i < list->count; i++) {
        if (list->items[i] >= SAMPLES || seen[list->items[i]]++ != 0) {
            abort();
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (directory[0] == '\0') {
        (void)snprintf(directory, sizeof directory, "/tmp/fuzz_partition.XXXXXX");
        if (mkdtemp(directory) == NULL) {
            abort();
        }
        (void)atexit(remove_directory);
    }
    if (size < 3) {
        return 0;
    }
    uint8_t flags = data[0];
    size_t rest = size - 3;
    size_t first = data[1] < rest ? data[1] : rest;
    size_t second = data[2] < rest - first ? data[2] : rest - first;
    const uint8_t *bytes = data + 3;
    write_file("client_00.idx", bytes, first, 0);
    write_file("client_01.idx", bytes + first, second, flags & 1);
    write_file(flags & 2 ? "client_01.test.idx" : "public.idx", bytes + first + second,
               rest - first - second, 1);
    write_file(flags & 2 ? "public.idx" : "client_01.test.idx", NULL, 0, 1);
    write_file("client_00.test.idx", (const uint8_t *)"\0\0\0\0", flags & 4 ? 4 : 0, 1);

    uint32_t labels[SAMPLES];
    for (uint32_t i = 0; i < SAMPLES; i++) {
        labels[i] = i % CLASSES;
    }
    witan_dataset set = {.samples = SAMPLES, .classes = CLASSES, .labels = labels};
    witan_partition_config config = {
        .kind = WITAN_PARTITION_FILE,
        .clients = 2,
        .minimum_samples = 1,
        .path = directory,
        .transfer_samples = flags >> 6,
        .own_test_from_global = (flags & 8) != 0,
        .own_test_fraction = 0.25,
    };
    witan_partition partition;
    witan_diag diag = {WITAN_OK, ""};
    if (witan_partition_make(&partition, &config, &set, &set, witan_allocator_default(),
                             &diag) == WITAN_OK) {
        uint8_t seen[SAMPLES] = {0};
        claim(seen, &partition.transfer);
        for (size_t n = 0; n < 2; n++) {
            if (partition.train[n].count == 0 || partition.test[n].count == 0) {
                abort();
            }
            claim(seen, &partition.train[n]);
            uint8_t others[SAMPLES] = {0};
            claim(config.own_test_from_global ? others : seen, &partition.test[n]);
        }
    } else if (diag.message[0] == '\0') {
        abort();
    }
    witan_partition_fini(&partition, witan_allocator_default());
    return 0;
}
