/* Bytes of a peer that believes nothing of protobuf's rules: what is refused and how it
 * is said, what is ignored, and how much memory the worst of it takes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "samples.h"
#include "support/witan_test.h"
#include "wire/packet_private.h"

static witan_packet_arena *
arena_new(void)
{
    witan_packet_arena *arena;
    CHECK_STATUS(witan_packet_arena_new(&arena, witan_allocator_default()), WITAN_OK);
    return arena;
}

/* Unpacks a copy of exactly this size, so that a sanitizer sees a byte too many. What
 * passes can be packed again, and the same packet comes back. */
static witan_status
unpack(witan_packet *out, witan_packet_arena *arena, const uint8_t *bytes, size_t size,
       witan_diag *diag)
{
    static uint8_t again[2 * WITAN_FRAME_MAX];
    uint8_t *exact = malloc(size + (size == 0));
    memcpy(exact, bytes, size);
    witan_status status = witan_packet_unpack(out, arena, exact, size, diag);
    free(exact);
    witan_packet zero;
    memset(&zero, 0, sizeof zero);
    if (status != WITAN_OK) {
        bool said = diag == NULL || diag->message[0] != '\0';
        bool zeroed = memcmp(out, &zero, sizeof zero) == 0;
        bool known = status == WITAN_E_DATA || status == WITAN_E_UNSUPPORTED;
        if (!said || !zeroed || !known) {
            CHECK(!"a clean refusal");
        }
        return status;
    }
    witan_packet back;
    witan_packet_arena *second = arena_new();
    size_t packed = 0;
    if (witan_packet_pack(again, sizeof again, &packed, out) != WITAN_OK ||
        witan_packet_unpack(&back, second, again, packed, NULL) != WITAN_OK ||
        !sample_equal(out, &back)) {
        CHECK(!"a packet that can be packed again");
    }
    witan_packet_arena_free(&second);
    return status;
}

static void
test_refusals_say_why(void)
{
    witan_packet_arena *arena = arena_new();
    char *text = witan_test_read(
        WITAN_TEST_SOURCE_DIR "/tests/golden/vectors/wire/refused.txt", NULL);
    size_t cases = 0;
    CHECK(text != NULL);
    for (char *line = text; line != NULL && *line != '\0'; cases++) {
        char *message, *hex;
        long status = strtol(line, &message, 10);
        message++;
        hex = strchr(message, '|') + 1;
        uint8_t bytes[SAMPLE_BYTES_MAX];
        size_t size = sample_unhex(bytes, sizeof bytes, hex);
        line = strchr(hex, '\n') + 1;
        hex[-1] = '\0';
        witan_packet packet;
        witan_diag diag = {0};
        CHECK_STATUS(unpack(&packet, arena, bytes, size, &diag), (int)status);
        CHECK_CONTAINS(diag.message, message);
        CHECK_STATUS(unpack(&packet, arena, bytes, size, NULL), diag.status);
    }
    CHECK(cases > 200);
    free(text);
    witan_packet_arena_free(&arena);
}

/* What a newer version may add: fields of every wire type, up to the limit. */
static void
test_unknown_fields_are_ignored(void)
{
    witan_packet_arena *arena = arena_new();
    static const uint8_t newer[] = {
        0xa0, 0x1f, 0x05,                              /* 500: varint */
        0xa9, 0x1f, 1,    2,    3,    4,   5, 6, 7, 8, /* 501: 8 bytes */
        0xb2, 0x1f, 3,    'n',  'e',  'w',             /* 502: bytes */
        0xbd, 0x1f, 1,    2,    3,    4,               /* 503: 4 bytes */
        0xfa, 0xff, 0xff, 0xff, 0x0f, 0,               /* the last number */
    };
    for (size_t i = 0; i < SAMPLES; i++) {
        witan_packet packet, back;
        uint8_t bytes[SAMPLE_BYTES_MAX + 256];
        size_t size = sample_bytes(bytes, sample_packet(&packet, i));
        memcpy(bytes + size, newer, sizeof newer); /* beside the body */
        CHECK_STATUS(unpack(&back, arena, bytes, size + sizeof newer, NULL), WITAN_OK);
        CHECK(sample_equal(&packet, &back));
        memmove(bytes + sizeof newer, bytes, size); /* and before it */
        memcpy(bytes, newer, sizeof newer);
        CHECK_STATUS(unpack(&back, arena, bytes, size + sizeof newer, NULL), WITAN_OK);
        CHECK(sample_equal(&packet, &back));
    }
    /* Within the body, and within a metric of it. */
    uint8_t ping[128] = {0x72, 2 + sizeof newer, 0x08, 9}, done[128] = {0x5a, 0, 0x22};
    memcpy(ping + 4, newer, sizeof newer);
    witan_packet back;
    CHECK_STATUS(unpack(&back, arena, ping, 4 + sizeof newer, NULL), WITAN_OK);
    CHECK(back.kind == WITAN_PACKET_PING && back.is.ping.nonce == 9);
    done[1] = 2 + sizeof newer;
    done[3] = sizeof newer;
    memcpy(done + 4, newer, sizeof newer);
    CHECK_STATUS(unpack(&back, arena, done, 4 + sizeof newer, NULL), WITAN_OK);
    CHECK(back.kind == WITAN_PACKET_DONE && back.is.done.own_before.accuracy == 0.0);
    /* The last field more that passes, at each level. */
    size_t size = 4;
    for (size_t i = 0; i < 16; i++) {
        memcpy(ping + size, newer, 3);
        size += 3;
    }
    ping[1] = (uint8_t)(size - 2);
    CHECK_STATUS(unpack(&back, arena, ping, size, NULL), WITAN_OK);
    memcpy(ping + size, newer, 3);
    ping[1] += 3;
    CHECK_STATUS(unpack(&back, arena, ping, size + 3, NULL), WITAN_E_DATA);
    witan_packet_arena_free(&arena);
}

/* Protobuf lets writers be wasteful; that is no reason to refuse. */
static void
test_long_encodings_are_read(void)
{
    witan_packet_arena *arena = arena_new();
    witan_packet packet;
    static const uint8_t zeros[] = {0x72, 2, 0x08, 0}; /* a zero that is written */
    static const uint8_t longer[] = {0xf2, 0x80, 0x00, 0x83, 0x00, 0x08, 0x85, 0x00};
    CHECK_STATUS(unpack(&packet, arena, zeros, sizeof zeros, NULL), WITAN_OK);
    CHECK(packet.kind == WITAN_PACKET_PING && packet.is.ping.nonce == 0);
    CHECK_STATUS(unpack(&packet, arena, longer, sizeof longer, NULL), WITAN_OK);
    CHECK(packet.kind == WITAN_PACKET_PING && packet.is.ping.nonce == 5);
    /* Fields in any order, a bool that is neither 0 nor 1. */
    static const uint8_t bye[] = {0x92, 0x01, 5, 0x10, 0x7f, 0x08, 0xe8, 0x07};
    CHECK_STATUS(unpack(&packet, arena, bye, sizeof bye, NULL), WITAN_OK);
    CHECK(packet.kind == WITAN_PACKET_BYE && packet.is.bye.finished &&
          packet.is.bye.retry_after_ms == 1000);
    witan_packet_arena_free(&arena);
}

static void
test_every_truncation(void)
{
    witan_packet_arena *arena = arena_new();
    for (size_t i = 0; i < SAMPLES; i++) {
        witan_packet packet, back;
        uint8_t bytes[SAMPLE_BYTES_MAX];
        size_t size = sample_bytes(bytes, sample_packet(&packet, i));
        for (size_t cut = 0; cut < size; cut++) {
            witan_diag diag = {0};
            if (unpack(&back, arena, bytes, cut, &diag) != WITAN_E_DATA) {
                CHECK(!"E_DATA");
            }
        }
        CHECK_STATUS(unpack(&back, arena, bytes, size, NULL), WITAN_OK);
    }
    witan_packet_arena_free(&arena);
}

static void
test_random_flips(void)
{
    witan_packet_arena *arena = arena_new();
    witan_random random;
    witan_random_init(&random, witan_test_seed(11), 0, 0, WITAN_PURPOSE_TEST);
    uint8_t golden[SAMPLES][SAMPLE_BYTES_MAX];
    size_t sizes[SAMPLES], passed = 0, refused = 0;
    for (size_t i = 0; i < SAMPLES; i++) {
        witan_packet packet;
        sizes[i] = sample_bytes(golden[i], sample_packet(&packet, i));
    }
    for (int n = 0; n < 10000; n++) {
        uint32_t i = witan_random_below(&random, SAMPLES);
        uint8_t bytes[SAMPLE_BYTES_MAX];
        memcpy(bytes, golden[i], sizes[i]);
        for (uint32_t flips = 1 + witan_random_below(&random, 3); flips > 0; flips--) {
            bytes[witan_random_below(&random, (uint32_t)sizes[i])] ^=
                (uint8_t)(1U << witan_random_below(&random, 8));
        }
        witan_packet packet;
        witan_diag diag = {0};
        if (unpack(&packet, arena, bytes, sizes[i], &diag) == WITAN_OK) {
            passed++;
        } else {
            refused++;
        }
    }
    CHECK(passed > 100 && refused > 100);
    witan_packet_arena_free(&arena);
}

/* A frame full of `unit`, inside the field that `tag` starts when it is not 0. */
static size_t
fill(uint8_t *out, unsigned tag, const uint8_t *unit, size_t unit_size)
{
    size_t size = 0, payload = WITAN_FRAME_MAX - 4;
    if (tag != 0) {
        out[size++] = (uint8_t)tag;
        payload -= payload % unit_size;
        out[size++] = (uint8_t)(payload & 0x7f) | 0x80;
        out[size++] = (uint8_t)(payload >> 7 & 0x7f) | 0x80;
        out[size++] = (uint8_t)(payload >> 14);
    }
    for (; size + unit_size <= WITAN_FRAME_MAX; size += unit_size) {
        memcpy(out + size, unit, unit_size);
    }
    return size;
}

static const struct hostile {
    const char *what;
    unsigned tag;
    uint8_t unit[4];
    size_t unit_size;
} hostile[] = {
    {"empty bodies", 0, {0x5a, 0}, 2},
    {"bodies that switch", 0, {0x72, 0, 0x7a, 0}, 4},
    {"empty metrics", 0x5a, {0x22, 0}, 2},
    {"metrics that switch", 0x5a, {0x22, 0, 0x2a, 0}, 4},
    {"empty texts", 0x1a, {0x0a, 0}, 2},
    {"short texts", 0x1a, {0x0a, 1, 'a'}, 3},
    {"numbers again", 0x72, {0x08, 1}, 2},
    {"unknown varints", 0, {0x98, 0x3f, 0}, 3},
    {"unknown varints inside", 0x72, {0x10, 0}, 2},
    {"unknown empty bytes", 0, {0x9a, 0x3f, 0}, 3},
    {"unknown bytes of one", 0x72, {0x12, 1, 0}, 3},
};

/* The scan refuses them all before anything is taken. */
static void
test_repetition_takes_no_memory(void)
{
    witan_packet_arena *arena = arena_new();
    uint8_t *bytes = malloc(WITAN_FRAME_MAX + 1);
    for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) {
        size_t size =
            fill(bytes, hostile[i].tag, hostile[i].unit, hostile[i].unit_size);
        witan_packet packet;
        arena->used = 0;
        CHECK_STATUS(unpack(&packet, arena, bytes, size, NULL), WITAN_E_DATA);
        CHECK(arena->used == 0);
    }
    witan_packet packet;
    witan_diag diag = {0};
    memset(bytes, 0, WITAN_FRAME_MAX + 1);
    CHECK_STATUS(unpack(&packet, arena, bytes, WITAN_FRAME_MAX + 1, &diag),
                 WITAN_E_DATA);
    CHECK_CONTAINS(diag.message, "131073 bytes");
    free(bytes);
    witan_packet_arena_free(&arena);
}

static void
test_budget_grows_with_the_packet(void)
{
    witan_packet_arena *arena = arena_new();
    static const size_t sizes[][2] = {{0, 16384},       {1000, 20384},
                                      {61439, 262140},  {61440, 262144},
                                      {131072, 262144}, {SIZE_MAX, 262144}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        ProtobufCAllocator allocator = witan_wire_arena_begin(arena, sizes[i][0]);
        CHECK(arena->budget == sizes[i][1] && arena->used == 0);
        size_t budget = arena->budget;
        uint8_t *first = allocator.alloc(allocator.allocator_data, 1);
        uint8_t *second = allocator.alloc(allocator.allocator_data, budget - 16);
        CHECK(first != NULL && second == first + 16);
        CHECK(allocator.alloc(allocator.allocator_data, 1) == NULL);
        CHECK(allocator.alloc(allocator.allocator_data, SIZE_MAX) == NULL);
    }
    witan_packet_arena_free(&arena);
}

/* The belt behind it: protobuf-c alone, with and without a budget. */
static void *
counted(void *context, size_t size)
{
    *(size_t *)context += size;
    return malloc(size);
}

static void
release(void *context, void *block)
{
    (void)context;
    free(block);
}

static void
test_budget_holds_without_the_scan(void)
{
    witan_packet_arena *arena = arena_new();
    uint8_t *bytes = malloc(WITAN_FRAME_MAX);
    double worst = 0.0;
    for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) {
        size_t size =
            fill(bytes, hostile[i].tag, hostile[i].unit, hostile[i].unit_size);
        size_t taken = 0;
        ProtobufCAllocator heap = {counted, release, &taken};
        Witan__V1__Packet *message = witan__v1__packet__unpack(&heap, size, bytes);
        if (message != NULL) {
            witan__v1__packet__free_unpacked(message, &heap);
        }
        ProtobufCAllocator allocator = witan_wire_arena_begin(arena, size);
        message = witan__v1__packet__unpack(&allocator, size, bytes);
        double growth = (double)taken / (double)size;
        printf("%-24s asks for %5.1f times its size, %s by the budget\n",
               hostile[i].what, growth, message == NULL ? "refused" : "passed");
        CHECK(arena->used <= arena->budget && arena->budget <= arena->room);
        CHECK((message == NULL) == (taken > arena->budget));
        worst = growth > worst ? growth : worst;
    }
    CHECK(worst > 10.0); /* else these inputs are not the worst */
    free(bytes);
    witan_packet_arena_free(&arena);
}

/* The biggest that passes: 16 unknown fields of the size of the frame. */
static void
test_what_passes_fits_the_budget(void)
{
    witan_packet_arena *arena = arena_new();
    uint8_t *bytes = malloc(WITAN_FRAME_MAX);
    for (int nested = 0; nested < 2; nested++) {
        size_t each = WITAN_FRAME_MAX / 16 - 8, size = 0;
        memset(bytes, 'u', WITAN_FRAME_MAX);
        if (nested) {
            size_t payload = 16 * (each + 4);
            bytes[size++] = 0x72;
            bytes[size++] = (uint8_t)(payload & 0x7f) | 0x80;
            bytes[size++] = (uint8_t)(payload >> 7 & 0x7f) | 0x80;
            bytes[size++] = (uint8_t)(payload >> 14);
        } else {
            bytes[size++] = 0x72;
            bytes[size++] = 0;
        }
        for (int i = 0; i < 16; i++, size += each) {
            bytes[size++] = 0x9a;
            bytes[size++] = 0x3f;
            bytes[size++] = (uint8_t)(each & 0x7f) | 0x80;
            bytes[size++] = (uint8_t)(each >> 7);
        }
        witan_packet packet;
        CHECK(size <= WITAN_FRAME_MAX);
        CHECK_STATUS(unpack(&packet, arena, bytes, size, NULL), WITAN_OK);
        CHECK(arena->used <= size + 4096);
        printf("%zu bytes that pass take %zu\n", size, arena->used);
    }
    CHECK(WITAN_FRAME_MAX + 4096 < WITAN_WIRE_ARENA_MAX);
    free(bytes);
    witan_packet_arena_free(&arena);
}

/* Small packets too are read wherever the budget ends: cleanly, without a leak. */
static void
test_arena_that_is_too_small(void)
{
    _Alignas(16) uint8_t storage[8192];
    for (size_t i = 0; i < SAMPLES; i++) {
        witan_packet packet, back;
        uint8_t bytes[SAMPLE_BYTES_MAX];
        size_t size = sample_bytes(bytes, sample_packet(&packet, i)), refused = 0;
        for (size_t room = 0; room <= sizeof storage; room += 8) {
            witan_packet_arena arena = {.bytes = storage, .room = room};
            witan_status status = witan_packet_unpack(&back, &arena, bytes, size, NULL);
            CHECK(arena.used <= room);
            CHECK(status == WITAN_E_DATA ||
                  (status == WITAN_OK && sample_equal(&packet, &back)));
            refused += status != WITAN_OK;
        }
        CHECK(refused > 0 && refused < sizeof storage / 8);
    }
}

int
main(void)
{
    RUN(test_refusals_say_why);
    RUN(test_unknown_fields_are_ignored);
    RUN(test_long_encodings_are_read);
    RUN(test_every_truncation);
    RUN(test_random_flips);
    RUN(test_repetition_takes_no_memory);
    RUN(test_budget_grows_with_the_packet);
    RUN(test_budget_holds_without_the_scan);
    RUN(test_what_passes_fits_the_budget);
    RUN(test_arena_that_is_too_small);
    return witan_test_finish();
}
