/* Packets: golden bytes of every kind both ways, bounds, what packing refuses. */
#include "wire/packet.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "samples.h"
#include "support/witan_test.h"

static uint8_t out_bytes[WITAN_FRAME_MAX];

static witan_packet_arena *
arena_new(void)
{
    witan_packet_arena *arena;
    CHECK_STATUS(witan_packet_arena_new(&arena, witan_allocator_default()), WITAN_OK);
    return arena;
}

static void
test_samples_have_golden_bytes(void)
{
    witan_packet_arena *arena = arena_new();
    unsigned kinds = 0;
    for (size_t i = 0; i < SAMPLES; i++) {
        witan_packet packet, back;
        uint8_t golden[SAMPLE_BYTES_MAX];
        const char *name = sample_packet(&packet, i);
        size_t golden_size = sample_bytes(golden, name), size;
        kinds |= 1U << packet.kind;
        CHECK_STATUS(witan_packet_pack(out_bytes, sizeof out_bytes, &size, &packet),
                     WITAN_OK);
        bool same = size == golden_size && memcmp(out_bytes, golden, size) == 0;
        if (!CHECK(same)) {
            printf("%s: %zu bytes, golden %zu\n", name, size, golden_size);
        }
        witan_diag diag = {0};
        CHECK_STATUS(witan_packet_unpack(&back, arena, golden, golden_size, &diag),
                     WITAN_OK);
        CHECK_STRING(diag.message, "");
        if (!CHECK(sample_equal(&packet, &back))) {
            printf("%s differs\n", name);
        }
    }
    CHECK(kinds == (1U << (WITAN_PACKET_BYE + 1)) - 2); /* every kind was there */
    witan_packet_arena_free(&arena);
}

static void
test_room_is_never_exceeded(void)
{
    for (size_t i = 0; i < SAMPLES; i++) {
        witan_packet packet;
        uint8_t golden[SAMPLE_BYTES_MAX];
        size_t needed = sample_bytes(golden, sample_packet(&packet, i)), size;
        CHECK_STATUS(witan_packet_pack(out_bytes, needed, &size, &packet), WITAN_OK);
        CHECK(size == needed);
        for (size_t room = 0; room < needed; room++) {
            uint8_t *exact = malloc(room + 1); /* a sanitizer sees a byte too many */
            size = 1;
            if (witan_packet_pack(exact, room, &size, &packet) != WITAN_E_LIMIT ||
                size != 0) {
                CHECK(!"E_LIMIT");
            }
            free(exact);
        }
    }
}

static void
test_biggest_packets_fit_a_frame(void)
{
    witan_packet_arena *arena = arena_new();
    static uint8_t data[WITAN_CHUNK_BYTES];
    memset(data, 0xa5, sizeof data);
    witan_packet packet, back;
    size_t size;
    sample_named(&packet, "chunk");
    packet.is.chunk.data = data;
    packet.is.chunk.size = sizeof data;
    packet.is.chunk.what = WITAN_BLOB_FUSED;
    packet.is.chunk.round = (uint32_t)WITAN_ROUNDS_MAX - 1;
    packet.is.chunk.offset = WITAN_UPLOAD_BYTES_MAX - 1;
    CHECK_STATUS(witan_packet_pack(out_bytes, sizeof out_bytes, &size, &packet),
                 WITAN_OK);
    CHECK(size <= sizeof data + WITAN_PACKET_OVERHEAD_MAX);
    CHECK_STATUS(witan_packet_unpack(&back, arena, out_bytes, size, NULL), WITAN_OK);
    CHECK(sample_equal(&packet, &back));

    char *experiment = malloc(WITAN_PLAN_BYTES_MAX + 2);
    memset(experiment, '{', WITAN_PLAN_BYTES_MAX + 1);
    experiment[WITAN_PLAN_BYTES_MAX] = '\0';
    sample_named(&packet, "plan");
    packet.is.plan.experiment = experiment;
    CHECK_STATUS(witan_packet_pack(out_bytes, sizeof out_bytes, &size, &packet),
                 WITAN_OK);
    CHECK_STATUS(witan_packet_unpack(&back, arena, out_bytes, size, NULL), WITAN_OK);
    CHECK(sample_equal(&packet, &back));
    experiment[WITAN_PLAN_BYTES_MAX] = '{';
    experiment[WITAN_PLAN_BYTES_MAX + 1] = '\0';
    CHECK_STATUS(witan_packet_pack(out_bytes, sizeof out_bytes, &size, &packet),
                 WITAN_E_INVALID);
    free(experiment);
    witan_packet_arena_free(&arena);
}

static uint64_t
bits(double value)
{
    uint64_t out;
    memcpy(&out, &value, sizeof out);
    return out;
}

static void
test_nan_is_one_nan(void)
{
    witan_packet_arena *arena = arena_new();
    witan_packet packet, back;
    size_t size;
    static uint8_t plain[SAMPLE_BYTES_MAX];
    size_t plain_size;
    sample_named(&packet, "done");
    packet.is.done.distill_loss = (double)NAN;
    packet.is.done.own_after.ece = (double)NAN;
    CHECK_STATUS(witan_packet_pack(plain, sizeof plain, &plain_size, &packet),
                 WITAN_OK);
    const uint64_t odd[] = {0x7ff0000000000001, 0xfff8000000000000, 0xffffffffffffffff};
    for (size_t i = 0; i < 3; i++) {
        double nan;
        memcpy(&nan, &odd[i], sizeof nan);
        sample_named(&packet, "done");
        packet.is.done.distill_loss = nan;
        packet.is.done.own_after.ece = nan;
        CHECK_STATUS(witan_packet_pack(out_bytes, sizeof out_bytes, &size, &packet),
                     WITAN_OK);
        CHECK(size == plain_size && memcmp(out_bytes, plain, size) == 0);
        CHECK_STATUS(witan_packet_unpack(&back, arena, out_bytes, size, NULL),
                     WITAN_OK);
        CHECK(bits(back.is.done.distill_loss) == 0x7ff8000000000000);
        CHECK(bits(back.is.done.own_after.ece) == 0x7ff8000000000000);
        /* A peer's own NaN: distill_loss is field 3 of body 11. */
        uint8_t bytes[11] = {0x5a, 9, 0x19};
        memcpy(bytes + 3, &odd[i], 8);
        CHECK_STATUS(witan_packet_unpack(&back, arena, bytes, sizeof bytes, NULL),
                     WITAN_OK);
        CHECK(bits(back.is.done.distill_loss) == 0x7ff8000000000000);
        CHECK(bits(back.is.done.train_loss) == 0);
        CHECK(bits(back.is.done.own_before.accuracy) == 0x7ff8000000000000);
        CHECK(bits(back.is.done.global_after.loss) == 0x7ff8000000000000);
    }
    witan_packet_arena_free(&arena);
}

/* Packs the named sample after one change. */
#define INVALID(name, change)                                                          \
    do {                                                                               \
        witan_packet p;                                                                \
        size_t size = 1;                                                               \
        sample_named(&p, name);                                                        \
        change;                                                                        \
        CHECK_STATUS(witan_packet_pack(out_bytes, sizeof out_bytes, &size, &p),        \
                     WITAN_E_INVALID);                                                 \
        CHECK(size == 0);                                                              \
    } while (0)

static void
test_own_mistakes_are_not_packed(void)
{
    INVALID("ping", p.kind = (witan_packet_kind)0);
    INVALID("ping", p.kind = (witan_packet_kind)19);
    INVALID("enrolled", p.is.enrolled.client = (uint32_t)WITAN_CLIENTS_MAX);
    INVALID("enrolled",
            memset(p.is.enrolled.name, 'a', sizeof p.is.enrolled.name)); /* no NUL */
    INVALID("attach", p.is.attach.program[3] = '\n');
    INVALID("attach", memset(p.is.attach.program, 'a', sizeof p.is.attach.program));
    INVALID("plan", p.is.plan.client = UINT32_MAX);
    INVALID("plan", memset(p.is.plan.name, 'a', sizeof p.is.plan.name));
    INVALID("plan", p.is.plan.experiment = NULL);
    INVALID("plan", p.is.plan.experiment = "{\x1b}");
    INVALID("plan", p.is.plan.transfer_bytes++);
    INVALID("plan", p.is.plan.transfer_rows++);
    INVALID("plan", p.is.plan.classes++);
    INVALID("plan", p.is.plan.parameters++);
    INVALID("ready", p.is.ready.samples++);
    INVALID("ready", memset(p.is.ready.model, 'a', sizeof p.is.ready.model));
    INVALID("open", p.is.open.round++);
    INVALID("knowledge", p.is.offer.round = UINT32_MAX);
    INVALID("knowledge", p.is.offer.kind = 3);
    INVALID("knowledge", p.is.offer.codec = 2);
    INVALID("knowledge", p.is.offer.rows = 0);
    INVALID("knowledge", p.is.offer.total--);
    INVALID("knowledge", p.is.offer.samples = UINT64_MAX);
    INVALID("knowledge-top", p.is.offer.kind = 1);
    INVALID("knowledge-top", p.is.offer.codec += 256);
    INVALID("knowledge-top", p.is.offer.classes = 31);
    INVALID("knowledge-top", p.is.offer.total -= 4);
    INVALID("knowledge-parameters", p.is.offer.codec = 1);
    INVALID("knowledge-parameters", p.is.offer.rows = 2);
    INVALID("knowledge-parameters", p.is.offer.classes++);
    INVALID("fused", p.is.offer.classes = 65537);
    INVALID("fused", p.is.offer.total = 0);
    INVALID("accepted", p.is.accepted.round = UINT32_MAX);
    INVALID("refused", p.is.refused.text[0] = '\x01');
    INVALID("refused", p.is.refused.text[255] = 'x');
    INVALID("refused", p.is.refused.round = 1000000);
    INVALID("done", p.is.done.train_loss = (double)INFINITY);
    INVALID("done", p.is.done.distill_loss = (double)-INFINITY);
    INVALID("done", p.is.done.own_before.accuracy = -0.001);
    INVALID("done", p.is.done.own_after.accuracy = 1.001);
    INVALID("done", p.is.done.global_before.ece = 1.001);
    INVALID("done", p.is.done.global_after.loss = (double)INFINITY);
    INVALID("done", p.is.done.round = 1000000);
    INVALID("get", p.is.get.what = (witan_blob)3);
    INVALID("get", p.is.get.offset++);
    INVALID("get", p.is.get.size++);
    INVALID("get", p.is.get.size = 0);
    INVALID("chunk", p.is.chunk.what = (witan_blob)3);
    INVALID("chunk", p.is.chunk.size = 0);
    INVALID("chunk", p.is.chunk.size = WITAN_CHUNK_BYTES + 1);
    INVALID("bye", memset(p.is.bye.text, 'a', sizeof p.is.bye.text));
    /* Fields that only Knowledge has are not looked at in Fused. */
    witan_packet packet;
    size_t size;
    sample_named(&packet, "fused");
    packet.is.offer.samples = UINT64_MAX;
    CHECK_STATUS(witan_packet_pack(out_bytes, sizeof out_bytes, &size, &packet),
                 WITAN_OK);
}

static void
test_arena_when_memory_fails(void)
{
    for (size_t fail = 1; fail < 3; fail++) {
        witan_failing_allocator failing;
        witan_failing_allocator_init(&failing, fail);
        witan_packet_arena *arena = NULL;
        witan_status status = witan_packet_arena_new(&arena, &failing.allocator);
        CHECK_STATUS(status, fail == 1 ? WITAN_E_MEMORY : WITAN_OK);
        CHECK((arena == NULL) == (status != WITAN_OK));
        witan_packet_arena_free(&arena);
        witan_packet_arena_free(&arena);
        CHECK(arena == NULL && failing.live == 0);
    }
}

static void
test_reasons_have_texts(void)
{
    CHECK_STRING(witan_packet_reason_text(WITAN_REASON_TOKEN_EXPIRED),
                 "the invitation has expired");
    for (uint32_t i = 0; i <= WITAN_REASON_BUSY; i++) {
        CHECK(strcmp(witan_packet_reason_text(i), "unknown reason") != 0);
        for (uint32_t j = 0; j < i; j++) {
            CHECK(strcmp(witan_packet_reason_text(i), witan_packet_reason_text(j)) !=
                  0);
        }
    }
    CHECK_STRING(witan_packet_reason_text(WITAN_REASON_BUSY + 1), "unknown reason");
    CHECK_STRING(witan_packet_reason_text(UINT32_MAX), "unknown reason");
}

static void
test_statement_covers_every_field(void)
{
    uint8_t federation[32], transfer[32], bytes[WITAN_UPLOAD_STATEMENT];
    memset(federation, 0xfe, sizeof federation);
    memset(transfer, 0x77, sizeof transfer);
    witan_packet_offer offer = {
        .round = 0x01020304,
        .kind = 0x11121314,
        .codec = 0x21222324,
        .rows = 0x3132333435363738,
        .classes = 0x4142434445464748,
        .total = 0x5152535455565758,
        .samples = 0x6162636465666768,
    };
    memset(offer.digest, 0xdd, sizeof offer.digest);
    memset(offer.signature, 0x99, sizeof offer.signature); /* not covered */
    witan_upload_statement(bytes, federation, 0xa1a2a3a4, transfer, &offer);
    static const uint8_t numbers[] = {
        0xa4, 0xa3, 0xa2, 0xa1, 0x04, 0x03, 0x02, 0x01,
    };
    static const uint8_t shape[] = {
        0x14, 0x13, 0x12, 0x11, 0x24, 0x23, 0x22, 0x21, 0x38, 0x37,
        0x36, 0x35, 0x34, 0x33, 0x32, 0x31, 0x48, 0x47, 0x46, 0x45,
        0x44, 0x43, 0x42, 0x41, 0x58, 0x57, 0x56, 0x55, 0x54, 0x53,
        0x52, 0x51, 0x68, 0x67, 0x66, 0x65, 0x64, 0x63, 0x62, 0x61,
    };
    CHECK(WITAN_UPLOAD_STATEMENT == 144);
    CHECK(memcmp(bytes, federation, 32) == 0);
    CHECK(memcmp(bytes + 32, numbers, sizeof numbers) == 0);
    CHECK(memcmp(bytes + 40, transfer, 32) == 0);
    CHECK(memcmp(bytes + 72, shape, sizeof shape) == 0);
    CHECK(memcmp(bytes + 112, offer.digest, 32) == 0);
}

int
main(void)
{
    RUN(test_samples_have_golden_bytes);
    RUN(test_room_is_never_exceeded);
    RUN(test_biggest_packets_fit_a_frame);
    RUN(test_nan_is_one_nan);
    RUN(test_own_mistakes_are_not_packed);
    RUN(test_arena_when_memory_fails);
    RUN(test_reasons_have_texts);
    RUN(test_statement_covers_every_field);
    return witan_test_finish();
}
