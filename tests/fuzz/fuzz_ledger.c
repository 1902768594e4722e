/* Bytes as a coordinator's ledger: it opens and everything in it is read, or a sentence
 * tells why not. An odd number of bytes is opened as the coordinator does, with every
 * check. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unit/store/ledger_read_all.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char directory[64];

static void
remove_name(const char *name)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s%s", directory, name);
    (void)remove(path);
}

static void
remove_files(void)
{
    remove_name("/witan.db-wal");
    remove_name("/witan.db-shm");
    remove_name("/witan.db-journal");
    remove_name("/witan.db");
    remove_name("/uploads");
}

static void
remove_directory(void)
{
    remove_files();
    remove_name("");
}

/* In memory where the system has such a place. */
static void
make_directory(void)
{
    (void)snprintf(directory, sizeof directory, "/dev/shm/witan-fuzz-XXXXXX");
    if (mkdtemp(directory) == NULL) {
        (void)snprintf(directory, sizeof directory, "/tmp/witan-fuzz-XXXXXX");
        WITAN_ASSERT(mkdtemp(directory) != NULL);
    }
    WITAN_ASSERT(atexit(remove_directory) == 0);
}

static void
write_ledger(const uint8_t *data, size_t size)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/witan.db", directory);
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    WITAN_ASSERT(file >= 0 && write(file, data, size) == (ssize_t)size);
    (void)close(file);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const witan_allocator *heap = witan_allocator_default();
    bool create = size % 2 == 1;
    witan_ledger *ledger;
    witan_diag diag = {0};
    if (directory[0] == '\0') {
        make_directory();
    }
    write_ledger(data, size);
    witan_status status = witan_ledger_open(&ledger, directory, create, heap, &diag);
    if (status == WITAN_OK) {
        status = ledger_read_all(ledger, heap, &diag);
    }
    witan_ledger_close(&ledger);
    WITAN_ASSERT((status == WITAN_OK) == (diag.message[0] == '\0'));
    /* E_STATE: nothing there, or rounds of an experiment with other clients. */
    WITAN_ASSERT(status == WITAN_OK || status == WITAN_E_DATA ||
                 status == WITAN_E_STATE);
    remove_files();
    return 0;
}
