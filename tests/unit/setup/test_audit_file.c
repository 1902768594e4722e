/* test_audit_file.c - what a run keeps for its audit comes back; nothing else does. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "setup/audit_file.h"
#include "store/safetensors.h"
#include "support/witan_test.h"

enum {
    ROWS = 70000, /* more than one part */
    CLASSES = 3,
    FIRST = 11,
    KEPT = 4,
    PARAMETERS = 5
};

static float before[PARAMETERS] = {0.5f, -1.0f, 2.0f, 3.5f, -0.0f};
static float after[PARAMETERS] = {1.0f, 2.0f, 3.0f, 4.0f, 5.0f};
static witan_soft_labels said, fused;
static float values[ROWS * CLASSES];

static const witan_allocator *
heap(void)
{
    return witan_allocator_default();
}

/* Row i of `said` is (0.5, 0.25, 0.25) rotated by i, of `fused` (0.875, 0.125, 0). */
static void
make_labels(witan_codec codec, witan_knowledge_kind kind)
{
    static const float rows[2][CLASSES] = {{0.5f, 0.25f, 0.25f},
                                           {0.875f, 0.125f, 0.0f}};
    witan_soft_labels *labels[2] = {&said, &fused};
    for (size_t k = 0; k < 2; k++) {
        witan_soft_labels_fini(labels[k], heap());
        CHECK_STATUS(
            witan_soft_labels_new(labels[k], heap(), kind, codec, ROWS, CLASSES),
            WITAN_OK);
        for (size_t i = 0; i < ROWS; i++) {
            for (size_t c = 0; c < CLASSES; c++) {
                float p = rows[k][(i + c) % CLASSES];
                values[i * CLASSES + c] = kind == WITAN_KNOWLEDGE_PROBABILITY ? p
                                          : p > 0.0f                          ? logf(p)
                                                                              : -32.0f;
            }
        }
        CHECK_STATUS(witan_soft_labels_encode(labels[k], 0, ROWS, values), WITAN_OK);
    }
}

static witan_audit_snapshot
taken(const witan_soft_labels *heard)
{
    witan_audit_snapshot self = {.client = 7,
                                 .round = 2,
                                 .architecture = "mlp(20)",
                                 .parameters = PARAMETERS,
                                 .before = before,
                                 .after = after};
    CHECK_STATUS(witan_audit_snapshot_take(&self, &said, heard, FIRST, KEPT, heap()),
                 WITAN_OK);
    return self;
}

static void
release(witan_audit_snapshot *self)
{
    self->before = NULL;
    self->after = NULL;
    witan_audit_snapshot_fini(self, heap());
    CHECK(self->said_mean == NULL && self->said.bytes == NULL && !self->has_said);
}

static const char *
file_of(uint32_t round, uint32_t client)
{
    static char path[1024];
    CHECK_STATUS(witan_audit_snapshot_path(path, sizeof path, witan_test_directory(),
                                           round, client, NULL),
                 WITAN_OK);
    return path;
}

static void
paths_count_rounds_from_one(void)
{
    char path[64];
    witan_diag diag = {0};
    CHECK_STATUS(witan_audit_snapshot_path(path, sizeof path, "run", 0, 0, &diag),
                 WITAN_OK);
    CHECK_STRING(path, "run/audit/round-0001/client-0000.safetensors");
    CHECK_STATUS(
        witan_audit_snapshot_path(path, sizeof path, "run", 12344, 99999, &diag),
        WITAN_OK);
    CHECK_STRING(path, "run/audit/round-12345/client-99999.safetensors");
    CHECK_STATUS(witan_audit_snapshot_path(path, 44, "run", 0, 0, &diag),
                 WITAN_E_LIMIT);
    CHECK_CONTAINS(diag.message, "run: the path is too long");
}

static void
taking_summarises_all_rows_and_keeps_some(void)
{
    make_labels(WITAN_CODEC_F32, WITAN_KNOWLEDGE_PROBABILITY);
    witan_audit_snapshot self = taken(&fused);
    CHECK(self.has_said && self.has_fused && self.rows == ROWS &&
          self.classes == CLASSES);
    for (size_t c = 0; c < CLASSES; c++) {
        CHECK_NEAR(self.said_mean[c], 1.0 / 3.0, 1e-4, 0.0);
    }
    for (size_t i = 0; i < ROWS; i += 997) {
        CHECK(self.said_top[i] == 0.5f && self.fused_top[i] == 0.875f);
    }
    CHECK(self.said_top[ROWS - 1] == 0.5f);
    CHECK(self.said.rows == KEPT && self.fused.rows == KEPT &&
          self.said.size == KEPT * CLASSES * sizeof(float));
    CHECK(memcmp(self.said.bytes, said.bytes + FIRST * CLASSES * sizeof(float),
                 self.said.size) == 0);
    CHECK(memcmp(self.fused.bytes, fused.bytes + FIRST * CLASSES * sizeof(float),
                 self.fused.size) == 0);
    release(&self);

    /* Log-probabilities are summarised as probabilities. */
    make_labels(WITAN_CODEC_U16, WITAN_KNOWLEDGE_LOG_PROBABILITY);
    self = taken(NULL);
    CHECK(self.has_said && !self.has_fused && self.fused_top == NULL);
    CHECK_NEAR(self.said_mean[0], 1.0 / 3.0, 1e-3, 0.0);
    CHECK_NEAR((double)self.said_top[5], 0.5, 1e-3, 0.0);
    release(&self);
}

static void
same_labels(const witan_soft_labels *a, const witan_soft_labels *b)
{
    CHECK(a->kind == b->kind && a->codec == b->codec && a->rows == b->rows &&
          a->classes == b->classes && a->size == b->size &&
          (a->size == 0 || memcmp(a->bytes, b->bytes, a->size) == 0));
}

static void
check_round_trip(witan_audit_snapshot *self)
{
    witan_audit_snapshot read;
    witan_diag diag = {0};
    CHECK_STATUS(witan_audit_snapshot_save(witan_test_directory(), self, heap(), &diag),
                 WITAN_OK);
    CHECK_STATUS(witan_audit_snapshot_load(&read, file_of(self->round, self->client),
                                           heap(), &diag),
                 WITAN_OK);
    CHECK_STRING(diag.message, "");
    CHECK(read.client == 7 && read.round == 2 && read.architecture == NULL &&
          read.parameters == PARAMETERS);
    CHECK(memcmp(read.before, before, sizeof before) == 0 &&
          memcmp(read.after, after, sizeof after) == 0);
    CHECK(read.has_said == self->has_said && read.has_fused == self->has_fused);
    same_labels(&read.said, &self->said);
    same_labels(&read.fused, &self->fused);
    CHECK(read.rows == self->rows && read.classes == self->classes);
    if (self->has_said) {
        CHECK(memcmp(read.said_mean, self->said_mean, CLASSES * sizeof(double)) == 0);
        CHECK(memcmp(read.said_top, self->said_top, ROWS * sizeof(float)) == 0);
    }
    if (self->has_fused) {
        CHECK(memcmp(read.fused_top, self->fused_top, ROWS * sizeof(float)) == 0);
    }
    witan_audit_snapshot_fini(&read, heap());
}

static void
files_come_back(void)
{
    static const struct {
        witan_codec codec;
        witan_knowledge_kind kind;
    } cases[] = {
        {WITAN_CODEC_F32, WITAN_KNOWLEDGE_PROBABILITY},
        {WITAN_CODEC_U16, WITAN_KNOWLEDGE_PROBABILITY},
        {WITAN_CODEC_U16, WITAN_KNOWLEDGE_LOG_PROBABILITY},
        {WITAN_CODEC_TOP(2), WITAN_KNOWLEDGE_PROBABILITY},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        make_labels(cases[i].codec, cases[i].kind);
        witan_audit_snapshot self = taken(&fused);
        check_round_trip(&self);
        release(&self);
        self = taken(NULL);
        check_round_trip(&self);
        release(&self);
    }
    /* No row kept. */
    witan_audit_snapshot self = taken(NULL);
    CHECK_STATUS(witan_audit_snapshot_take(&self, &said, &fused, ROWS, 0, heap()),
                 WITAN_OK);
    check_round_trip(&self);
    release(&self);
    /* A client that did not answer. */
    self = taken(NULL);
    witan_audit_snapshot_fini(&(witan_audit_snapshot){.said = self.said,
                                                      .said_mean = self.said_mean,
                                                      .said_top = self.said_top},
                              heap());
    self.said = (witan_soft_labels){0};
    self.said_mean = NULL;
    self.said_top = NULL;
    self.has_said = false;
    self.rows = self.classes = 0;
    check_round_trip(&self);
    release(&self);
}

/* --- files of a stranger ---------------------------------------------------------- */

enum {
    SMALL = 2 /* rows */
};

/* A good file in parts that a case spoils. */
typedef struct forged {
    witan_tensor_entry entries[7];
    const char *pairs[11][2];
    float before[2], after[2], said_top[SMALL], fused_top[SMALL];
    double said_mean[CLASSES];
    uint8_t said[4 * CLASSES], fused[4 * CLASSES];
} forged;

static forged it;

static void
forge(void)
{
    static const float row[CLASSES] = {0.5f, 0.25f, 0.25f};
    it = (forged){
        .before = {1.0f, 2.0f},
        .after = {3.0f, 4.0f},
        .said_top = {0.5f, 0.5f},
        .fused_top = {0.5f, 0.5f},
        .said_mean = {0.5, 0.25, 0.25},
    };
    memcpy(it.said, row, sizeof row);
    memcpy(it.fused, row, sizeof row);
    const witan_tensor_entry entries[] = {
        {"before", WITAN_TENSOR_F32, 1, {2}, it.before},
        {"after", WITAN_TENSOR_F32, 1, {2}, it.after},
        {"said", WITAN_TENSOR_U8, 1, {sizeof it.said}, it.said},
        {"said_mean", WITAN_TENSOR_F64, 1, {CLASSES}, it.said_mean},
        {"said_top", WITAN_TENSOR_F32, 1, {SMALL}, it.said_top},
        {"fused", WITAN_TENSOR_U8, 1, {sizeof it.fused}, it.fused},
        {"fused_top", WITAN_TENSOR_F32, 1, {SMALL}, it.fused_top},
    };
    static const char *const pairs[11][2] = {
        {"format", "witan-audit-1"},
        {"architecture", "lstm"},
        {"client", "3"},
        {"round", "1"},
        {"rows", "2"},
        {"classes", "3"},
        {"kept_rows", "1"},
        {"said_kind", "0"},
        {"said_codec", "0"},
        {"fused_kind", "0"},
        {"fused_codec", "0"},
    };
    memcpy(it.entries, entries, sizeof entries);
    memcpy(it.pairs, pairs, sizeof pairs);
}

static void
loads(witan_status expected, const char *part)
{
    const char *path = witan_test_path("forged.safetensors");
    witan_audit_snapshot read;
    witan_diag diag = {0};
    CHECK_STATUS(witan_safetensors_save(path, it.entries, 7,
                                        (const char *const(*)[2])it.pairs, 11, heap(),
                                        &diag),
                 WITAN_OK);
    CHECK_STATUS(witan_audit_snapshot_load(&read, path, heap(), &diag), expected);
    CHECK_CONTAINS(diag.message, part);
    if (expected != WITAN_OK) {
        CHECK_CONTAINS(diag.message, "forged.safetensors");
        CHECK(read.before == NULL && read.said.bytes == NULL && read.parameters == 0);
    }
    witan_audit_snapshot_fini(&read, heap());
}

#define REFUSED(change, part)                                                          \
    do {                                                                               \
        forge();                                                                       \
        change;                                                                        \
        loads(WITAN_E_DATA, part);                                                     \
    } while (0)

static void
forged_files_are_refused(void)
{
    forge();
    loads(WITAN_OK, "");
    REFUSED(it.pairs[0][1] = "witan-audit-2", "not what a run keeps for its audit");
    REFUSED(it.pairs[0][0] = "forma", "not what a run keeps for its audit");
    REFUSED(it.pairs[2][1] = "100000", "client is missing or not valid");
    REFUSED(it.pairs[2][1] = "-1", "client is missing");
    REFUSED(it.pairs[3][1] = "1000000", "round is missing");
    REFUSED(it.pairs[4][1] = "0", "rows is missing");
    REFUSED(it.pairs[4][1] = "3", "said_top is missing");
    REFUSED(it.pairs[5][1] = "65537", "classes is missing");
    REFUSED(it.pairs[5][1] = "4", "said is missing");
    REFUSED(it.pairs[6][1] = "3", "kept_rows is missing");
    REFUSED(it.pairs[6][1] = "2", "said is missing");
    REFUSED(it.pairs[7][1] = "2", "said_kind is missing");
    REFUSED(it.pairs[8][1] = "3", "said_codec is missing");
    REFUSED(it.pairs[8][1] = "1026", "said_codec is missing"); /* top-4 of 3 classes */
    REFUSED(it.pairs[9][1] = "x", "fused_kind is missing");
    REFUSED(it.pairs[10][1] = "4294967296", "fused_codec is missing");
    REFUSED(it.entries[0].name = "befor", "before is missing");
    REFUSED(it.entries[0].shape[0] = 0, "before is missing");
    REFUSED(it.entries[1].shape[0] = 1, "after is missing");
    REFUSED(it.entries[0].dimensions = 0, "before is missing");
    REFUSED(it.entries[2].name = "unsaid", "said is missing"); /* but fused */
    REFUSED(it.entries[3].type = WITAN_TENSOR_U64, "said_mean is missing");
    REFUSED(it.entries[6].shape[0] = 1, "fused_top is missing");
    REFUSED(it.before[1] = NAN, "before is missing or not valid");
    REFUSED(it.after[0] = INFINITY, "after is missing or not valid");
    REFUSED(it.said_mean[2] = -0.25, "said_mean is missing or not valid");
    REFUSED(it.said_mean[2] = (double)NAN, "said_mean is missing or not valid");
    REFUSED(it.said_top[1] = 1.5f, "said_top is missing or not valid");
    REFUSED(it.fused_top[0] = -0.5f, "fused_top is missing or not valid");
    REFUSED(it.said[3] = 0x7f, "said: "); /* a sum far from 1 */
    REFUSED(it.fused[3] = 0x7f, "fused: ");
    witan_audit_snapshot read;
    witan_diag diag = {0};
    CHECK_STATUS(
        witan_audit_snapshot_load(&read, witan_test_path("none"), heap(), &diag),
        WITAN_E_IO);
    CHECK_CONTAINS(diag.message, "none");
}

static void
failing_allocations_leave_nothing(void)
{
    witan_status status = WITAN_E_MEMORY;
    size_t failures = 0;
    make_labels(WITAN_CODEC_U16, WITAN_KNOWLEDGE_PROBABILITY);
    witan_audit_snapshot self = taken(&fused);
    CHECK_STATUS(witan_audit_snapshot_save(witan_test_directory(), &self, heap(), NULL),
                 WITAN_OK);
    release(&self);
    for (size_t fail_at = 1; status != WITAN_OK; fail_at++) {
        witan_failing_allocator failing;
        witan_audit_snapshot read = {0}, made = {.client = 8,
                                                 .architecture = "x",
                                                 .parameters = PARAMETERS,
                                                 .before = before,
                                                 .after = after};
        witan_failing_allocator_init(&failing, fail_at);
        status =
            witan_audit_snapshot_load(&read, file_of(2, 7), &failing.allocator, NULL);
        if (status == WITAN_OK) {
            status = witan_audit_snapshot_take(&made, &said, &fused, 0, KEPT,
                                               &failing.allocator);
            CHECK(status == WITAN_OK || (made.said_top == NULL && !made.has_said));
        }
        if (status == WITAN_OK) {
            status = witan_audit_snapshot_save(witan_test_directory(), &made,
                                               &failing.allocator, NULL);
        }
        failures += status != WITAN_OK;
        CHECK(status == WITAN_OK || status == WITAN_E_MEMORY);
        witan_audit_snapshot_fini(&read, &failing.allocator);
        made.before = NULL;
        made.after = NULL;
        witan_audit_snapshot_fini(&made, &failing.allocator);
        CHECK(failing.live == 0);
    }
    CHECK(failures > 15);
}

int
main(void)
{
    RUN(paths_count_rounds_from_one);
    RUN(taking_summarises_all_rows_and_keeps_some);
    RUN(files_come_back);
    RUN(forged_files_are_refused);
    RUN(failing_allocations_leave_nothing);
    witan_soft_labels_fini(&said, heap());
    witan_soft_labels_fini(&fused, heap());
    return witan_test_finish();
}
