/* Payloads of the handshake: golden bytes, bounds, hostile bytes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "samples.h"
#include "support/witan_test.h"

static witan_hello
hello_sample(void)
{
    witan_hello hello;
    memset(&hello, 0, sizeof hello);
    hello.version_min = 1;
    hello.version_max = UINT32_MAX;
    hello.capabilities = UINT64_MAX;
    memset(hello.program, 'p', 63);
    hello.has_token = true;
    for (size_t i = 0; i < 8; i++) {
        hello.token[i] = (uint8_t)(250 + i);
    }
    return hello;
}

static witan_welcome
welcome_sample(void)
{
    witan_welcome welcome;
    memset(&welcome, 0, sizeof welcome);
    welcome.version = 1;
    welcome.capabilities = 1;
    (void)snprintf(welcome.program, sizeof welcome.program, "witan 0.2.0");
    welcome.wall_ms = 1700000000000;
    welcome.heartbeat_ms = 3600000;
    welcome.window = 64;
    return welcome;
}

static void
check_hello(const witan_hello *hello, const char *name)
{
    uint8_t golden[SAMPLE_BYTES_MAX], bytes[SAMPLE_BYTES_MAX];
    size_t expected = sample_bytes(golden, name), size;
    witan_hello back;
    CHECK_STATUS(witan_hello_pack(bytes, expected, &size, hello), WITAN_OK);
    CHECK(size == expected && memcmp(bytes, golden, size) == 0);
    CHECK_STATUS(witan_hello_unpack(&back, golden, expected), WITAN_OK);
    CHECK(memcmp(&back, hello, sizeof back) == 0);
    CHECK_STATUS(witan_hello_pack(bytes, expected - 1, &size, hello), WITAN_E_LIMIT);
    CHECK(size == 0);
}

static void
check_welcome(const witan_welcome *welcome, const char *name)
{
    uint8_t golden[SAMPLE_BYTES_MAX], bytes[SAMPLE_BYTES_MAX];
    size_t expected = sample_bytes(golden, name), size;
    witan_welcome back;
    CHECK_STATUS(witan_welcome_pack(bytes, expected, &size, welcome), WITAN_OK);
    CHECK(size == expected && memcmp(bytes, golden, size) == 0);
    CHECK_STATUS(witan_welcome_unpack(&back, golden, expected), WITAN_OK);
    CHECK(memcmp(&back, welcome, sizeof back) == 0);
    CHECK_STATUS(witan_welcome_pack(bytes, expected - 1, &size, welcome),
                 WITAN_E_LIMIT);
    CHECK(size == 0);
}

static void
test_golden_bytes(void)
{
    witan_hello hello = hello_sample();
    check_hello(&hello, "hello");
    memset(&hello, 0, sizeof hello);
    hello.version_min = hello.version_max = 1;
    check_hello(&hello, "hello-least");
    witan_welcome welcome = welcome_sample();
    check_welcome(&welcome, "welcome");
    memset(&welcome, 0, sizeof welcome);
    welcome.heartbeat_ms = 100;
    welcome.window = 1;
    check_welcome(&welcome, "welcome-none");
}

/* Neither packed nor, made by hand, unpacked. */
static void
test_ranges(void)
{
    uint8_t out[256];
    size_t size;
#define HELLO(change)                                                                  \
    do {                                                                               \
        witan_hello h = hello_sample();                                                \
        change;                                                                        \
        CHECK_STATUS(witan_hello_pack(out, sizeof out, &size, &h), WITAN_E_INVALID);   \
    } while (0)
#define WELCOME(change)                                                                \
    do {                                                                               \
        witan_welcome w = welcome_sample();                                            \
        change;                                                                        \
        CHECK_STATUS(witan_welcome_pack(out, sizeof out, &size, &w), WITAN_E_INVALID); \
    } while (0)
    HELLO(h.version_min = 0);
    HELLO(h.version_max = 0);
    HELLO((h.version_min = 3, h.version_max = 2));
    HELLO(h.program[5] = '\x1b');
    HELLO(h.program[63] = 'p');
    WELCOME(w.heartbeat_ms = 99);
    WELCOME(w.heartbeat_ms = 3600001);
    WELCOME(w.window = 0);
    WELCOME(w.window = 65);
    WELCOME(w.program[0] = '\n');

    static const struct {
        uint8_t bytes[12];
        size_t size;
        bool ok;
    } hellos[] = {
        {{0}, 0, false},
        {{0x08, 1, 0x10, 1}, 4, true},
        {{0x08, 1}, 2, false}, /* no newest version */
        {{0x10, 1}, 2, false}, /* no oldest */
        {{0x08, 2, 0x10, 1}, 4, false},
        {{0x08, 1, 0x10, 1, 0x22, 2, 'a', 'b'}, 8, true},
        {{0x08, 1, 0x10, 1, 0x22, 2, 'a', 0}, 8, false},
        {{0x08, 1, 0x10, 1, 0x22, 2, 'a', 7}, 8, false},
        {{0x08, 1, 0x10, 1, 0x22, 2, 0xc2, 0x85}, 8, false},
        {{0x08, 1, 0x10, 1, 0x2a, 0}, 6, true}, /* an empty token is none */
        {{0x08, 1, 0x10, 1, 0x2a, 1, 1}, 7, false},
        {{0x08, 1, 0x10, 1, 0x08, 1}, 6, false}, /* twice */
        {{0x08, 1, 0x12, 1, 1}, 5, false},       /* wrong wire type */
        {{0x08, 1, 0x10, 1, 0x78, 1}, 6, true},  /* unknown */
    };
    for (size_t i = 0; i < sizeof hellos / sizeof *hellos; i++) {
        witan_hello hello, zero;
        memset(&zero, 0, sizeof zero);
        witan_status status =
            witan_hello_unpack(&hello, hellos[i].bytes, hellos[i].size);
        CHECK_STATUS(status, hellos[i].ok ? WITAN_OK : WITAN_E_DATA);
        CHECK(status == WITAN_OK || memcmp(&hello, &zero, sizeof zero) == 0);
    }
    static const struct {
        uint8_t bytes[12];
        size_t size;
        bool ok;
    } welcomes[] = {
        {{0x28, 0x64, 0x30, 1}, 4, true},
        {{0x28, 0x63, 0x30, 1}, 4, false},
        {{0x28, 0x81, 0xdd, 0xdb, 0x01, 0x30, 1}, 7, false}, /* 3600001 */
        {{0x28, 0x80, 0xdd, 0xdb, 0x01, 0x30, 1}, 7, true},
        {{0x28, 0x64}, 2, false},
        {{0x28, 0x64, 0x30, 65}, 4, false},
        {{0x30, 1}, 2, false},
        {{0x28, 0x64, 0x30, 1, 0x1a, 1, '\n'}, 7, false},
    };
    for (size_t i = 0; i < sizeof welcomes / sizeof *welcomes; i++) {
        witan_welcome welcome;
        CHECK_STATUS(
            witan_welcome_unpack(&welcome, welcomes[i].bytes, welcomes[i].size),
            welcomes[i].ok ? WITAN_OK : WITAN_E_DATA);
    }
}

static void
test_hostile_bytes(void)
{
    uint8_t golden[SAMPLE_BYTES_MAX + 1];
    size_t size = sample_bytes(golden, "hello");
    witan_hello hello;
    witan_welcome welcome;
    for (size_t cut = 0; cut < size; cut++) {
        uint8_t *exact = malloc(cut + 1);
        memcpy(exact, golden, cut);
        witan_status status = witan_hello_unpack(&hello, exact, cut);
        witan_status other = witan_welcome_unpack(&welcome, exact, cut);
        CHECK(status == WITAN_OK || status == WITAN_E_DATA);
        CHECK(other == WITAN_E_DATA);
        free(exact);
    }
    witan_random random;
    witan_random_init(&random, witan_test_seed(12), 0, 0, WITAN_PURPOSE_TEST);
    size_t passed = 0;
    for (int n = 0; n < 10000; n++) {
        uint8_t bytes[SAMPLE_BYTES_MAX];
        memcpy(bytes, golden, size);
        bytes[witan_random_below(&random, (uint32_t)size)] ^=
            (uint8_t)(1U << witan_random_below(&random, 8));
        passed += witan_hello_unpack(&hello, bytes, size) == WITAN_OK;
        (void)!witan_welcome_unpack(&welcome, bytes, size);
    }
    CHECK(passed > 100 && passed < 9900);
    /* One unknown field of 0 bytes fills the payload to its limit, then passes it. */
    size_t room = 1024 - size - 4;
    golden[size] = 0x9a;
    golden[size + 1] = 0x3f;
    golden[size + 2] = (uint8_t)(room & 0x7f) | 0x80;
    golden[size + 3] = (uint8_t)(room >> 7);
    memset(golden + size + 4, 0, room);
    CHECK_STATUS(witan_hello_unpack(&hello, golden, 1024), WITAN_OK);
    golden[size + 2]++;
    golden[1024] = 0;
    CHECK_STATUS(witan_hello_unpack(&hello, golden, 1025), WITAN_E_DATA);
    /* A program's name at its limit, and a byte longer. */
    for (uint8_t length = 63; length <= 64; length++) {
        uint8_t named[80] = {0x08, 1, 0x10, 1, 0x22, length};
        memset(named + 6, 'p', length);
        CHECK_STATUS(witan_hello_unpack(&hello, named, 6 + (size_t)length),
                     length == 63 ? WITAN_OK : WITAN_E_DATA);
    }
    /* As many unknown fields as fit. */
    for (size_t i = 0; i + 2 <= 1024; i += 2) {
        golden[i] = 0x78;
        golden[i + 1] = 0;
    }
    CHECK_STATUS(witan_hello_unpack(&hello, golden, 1024), WITAN_E_DATA);
}

int
main(void)
{
    RUN(test_golden_bytes);
    RUN(test_ranges);
    RUN(test_hostile_bytes);
    return witan_test_finish();
}
