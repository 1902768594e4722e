/* fuzz_audit_snapshot.c - what a run kept for its audit, as a stranger might have
 * written it. What is accepted is whole: every array can be read to its end. */
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#include "setup/audit_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char path[] = "/tmp/fuzz_audit_snapshot.XXXXXX";

static void
remove_file(void)
{
    (void)unlink(path);
}

static void
read_all(const witan_audit_snapshot *it)
{
    double sum = 0.0;
    for (size_t i = 0; i < it->parameters; i++) {
        sum += (double)it->before[i] + (double)it->after[i];
    }
    for (size_t c = 0; it->has_said && c < it->classes; c++) {
        sum += it->said_mean[c];
    }
    for (size_t i = 0; it->has_said && i < it->rows; i++) {
        sum += (double)it->said_top[i];
        sum += it->has_fused ? (double)it->fused_top[i] : 0.0;
    }
    float *p = calloc(it->classes + 1, sizeof *p);
    for (size_t i = 0; p != NULL && i < it->said.rows; i++) {
        witan_soft_labels_probabilities(&it->said, i, 1, p);
        sum += (double)p[0];
        if (it->has_fused) {
            witan_soft_labels_probabilities(&it->fused, i, 1, p);
            sum += (double)p[0];
        }
    }
    free(p);
    WITAN_ASSERT(!isnan(sum));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int file = -1;
    if (file < 0) {
        file = mkstemp(path);
        WITAN_ASSERT(file >= 0);
        (void)atexit(remove_file);
    }
    WITAN_ASSERT(ftruncate(file, 0) == 0 &&
                 pwrite(file, data, size, 0) == (ssize_t)size);
    witan_audit_snapshot read;
    witan_diag diag = {0};
    witan_status status =
        witan_audit_snapshot_load(&read, path, witan_allocator_default(), &diag);
    WITAN_ASSERT((status == WITAN_OK) == (diag.message[0] == '\0'));
    WITAN_ASSERT(status == WITAN_OK || status == WITAN_E_DATA ||
                 status == WITAN_E_MEMORY);
    if (status == WITAN_OK) {
        read_all(&read);
    }
    witan_audit_snapshot_fini(&read, witan_allocator_default());
    return 0;
}
