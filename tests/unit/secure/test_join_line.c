/* test_join_line.c - the line that admits a client, what follows from it, addresses. */
#include "secure/join_line.h"

#include "vectors.h"

#define KEYS "keys.txt"

static witan_status
parse(witan_join_line *out, const vector *text, witan_diag *diag)
{
    return witan_join_line_parse(out, (const char *)text->bytes, text->size, diag);
}

static void
reads_and_writes_the_golden_line(void)
{
    vector line = vector_get(KEYS, "line"), spaced = {.size = 0};
    char text[WITAN_JOIN_LINE_MAX];
    witan_join_line join;

    CHECK_STATUS(parse(&join, &line, NULL), WITAN_OK);
    CHECK(vector_equals(KEYS, "endpoint", join.endpoint, strlen(join.endpoint)));
    CHECK(vector_equals(KEYS, "name", join.name, strlen(join.name)));
    CHECK(vector_equals(KEYS, "token", join.token, sizeof join.token));
    CHECK(vector_equals(KEYS, "secret", join.secret, sizeof join.secret));
    CHECK(vector_equals(KEYS, "coordinator_sign", join.coordinator.sign, 32));
    CHECK(vector_equals(KEYS, "coordinator_transport", join.coordinator.transport, 32));
    witan_join_line_format(&join, text);
    CHECK_STRING(text, (const char *)line.bytes);

    spaced.size =
        (size_t)snprintf((char *)spaced.bytes, VECTOR_MAX, "\n \t%s \r\n\n", text);
    CHECK_STATUS(parse(&join, &spaced, NULL), WITAN_OK);
    CHECK_STRING(join.name, "site-a");
}

/* A refusal leaves nothing of the secret, in the struct or in the message. */
static void
check_refused(const vector *text, const char *part)
{
    static const witan_join_line nothing;
    vector good = vector_get(KEYS, "line");
    char window[9] = {0};
    witan_diag diag = {0};
    witan_join_line join;

    CHECK_STATUS(parse(&join, text, &diag), WITAN_E_CONFIG);
    CHECK_CONTAINS(diag.message, part);
    CHECK(memcmp(&join, &nothing, sizeof join) == 0);
    for (size_t i = sizeof "witan1:" - 1; i + 8 <= good.size; i++) {
        memcpy(window, good.bytes + i, 8);
        if (strstr(diag.message, window) != NULL) {
            CHECK(!"a message with bytes of a join line");
        }
    }
}

static void
refuses_every_cut_and_typing_error(void)
{
    vector good = vector_get(KEYS, "line"), bad = good;
    witan_join_line join;
    size_t accepted = 0;

    for (size_t size = 0; size < good.size; size++) {
        vector cut = good;
        cut.size = size;
        check_refused(&cut, size < 7 ? "no join line" : "cut or mistyped");
    }
    for (size_t at = 0; at < good.size; at++) { /* every other byte in every place */
        for (int byte = 0; byte < 256; byte++) {
            bad.bytes[at] = (uint8_t)byte;
            accepted +=
                byte != good.bytes[at] && parse(&join, &bad, NULL) != WITAN_E_CONFIG;
        }
        bad.bytes[at] = good.bytes[at];
    }
    CHECK(accepted == 0);
    for (size_t at = 7; at < good.size; at++) {
        bad.bytes[at] ^= 1;
        check_refused(&bad, "cut or mistyped");
        bad.bytes[at] = good.bytes[at];
    }
    for (size_t at = 7; at + 1 < good.size; at++) { /* two letters swapped */
        bad = good;
        bad.bytes[at] = good.bytes[at + 1];
        bad.bytes[at + 1] = good.bytes[at];
        if (bad.bytes[at] != good.bytes[at]) {
            check_refused(&bad, "cut or mistyped");
        }
    }
}

static vector
text_of(const char *text)
{
    vector out = {.size = strlen(text)};

    memcpy(out.bytes, text, out.size);
    return out;
}

static void
refuses_what_is_no_line(void)
{
    vector good = vector_get(KEYS, "line"), bad;

    const char *none[] = {"",
                          " ",
                          "witan",
                          "https://example.org",
                          "hello world",
                          "tcp://fl.example.org:7741"};
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        bad = text_of(none[i]);
        check_refused(&bad, "no join line");
    }
    const char *mistyped[] = {"witan1:",     "witan1:AAAA", "witan1-AAAA",
                              "WITAN1:AAAA", "witan0:AAAA", "witanx:AAAA",
                              "witan11:AAAA"};
    for (size_t i = 0; i < sizeof mistyped / sizeof mistyped[0]; i++) {
        bad = text_of(mistyped[i]);
        check_refused(&bad, "cut or mistyped");
    }
    bad = text_of("witan2:AAAA");
    check_refused(&bad, "newer version");
    bad = vector_get(KEYS, "newer_line");
    check_refused(&bad, "newer version");
    bad = vector_get(KEYS, "bad_endpoint_line");
    check_refused(&bad, "is no address");
    bad = vector_get(KEYS, "bad_name_line");
    check_refused(&bad, "name");
    bad = vector_get(KEYS, "nul_name_line");
    check_refused(&bad, "cut or mistyped");
    bad = vector_get(KEYS, "longer_line");
    check_refused(&bad, "cut or mistyped");

    bad = good; /* twice the same */
    memcpy(bad.bytes + bad.size, good.bytes, good.size);
    bad.size *= 2;
    check_refused(&bad, "cut or mistyped");
    bad.size = VECTOR_MAX; /* much */
    memset(bad.bytes + 7, 'A', VECTOR_MAX - 7);
    check_refused(&bad, "cut or mistyped");
}

static void
the_longest_line_fits(void)
{
    witan_join_line join = {.name = "n"}, again;
    char text[WITAN_JOIN_LINE_MAX];

    /* 255 bytes: the labels are as long as they may be. */
    memset(join.endpoint, 'a', 255);
    memcpy(join.endpoint, "tcp://", 6);
    for (int i = 6 + 63; i < 245; i += 64) {
        join.endpoint[i] = '.';
    }
    memcpy(join.endpoint + 249, ":65535", 7);
    memset(join.name, 'x', 64);
    witan_join_line_draw(&join);
    witan_join_line_format(&join, text);
    CHECK(strlen(text) < WITAN_JOIN_LINE_MAX);
    CHECK_STATUS(witan_join_line_parse(&again, text, strlen(text), NULL), WITAN_OK);
    CHECK(memcmp(&again, &join, sizeof join) == 0);
    witan_join_line_draw(&again);
    CHECK(memcmp(again.secret, join.secret, sizeof join.secret) != 0);
    CHECK(memcmp(again.token, join.token, sizeof join.token) != 0);
}

static void
derives_the_golden_keys(void)
{
    vector secret = vector_get(KEYS, "secret"), sign = vector_get(KEYS, "client_sign");
    uint8_t public[WITAN_KEY_SIZE], door[WITAN_KEY_SIZE], join[WITAN_KEY_SIZE],
        peer[WITAN_KEY_SIZE];

    witan_join_door_key(public, door, secret.bytes);
    CHECK(vector_equals(KEYS, "door_public", public, sizeof public));
    CHECK(vector_equals(KEYS, "door_secret", door, sizeof door));
    witan_join_psk(join, secret.bytes);
    CHECK(vector_equals(KEYS, "join_psk", join, sizeof join));
    witan_peer_psk(peer, join, sign.bytes);
    CHECK(vector_equals(KEYS, "peer_psk", peer, sizeof peer));
}

static void
addresses(void)
{
    static const char *const good[] = {
        "tcp://127.0.0.1:1",
        "tcp://255.255.255.255:65535",
        "tcp://[::1]:7741",
        "tcp://[2001:db8::1]:7741",
        "tcp://[::ffff:192.0.2.1]:80",
        "tcp://localhost:7741",
        "tcp://fl.example.org:7741",
        "tcp://my_container-1:7741",
        "tcp://4you.example:10",
        "tcp://1.2.3.4a:10",
    };
    static const char *const bad[] = {
        "",
        "tcp://",
        "tcp://:1",
        "tcp://host",
        "tcp://host:",
        "host:1",
        "udp://host:1",
        "TCP://host:1",
        "tcp://host:0",
        "tcp://host:65536",
        "tcp://host:01",
        "tcp://host:+1",
        "tcp://host:1 ",
        " tcp://host:1",
        "tcp://host:1\n",
        "tcp://host:99999999999999999999",
        "tcp://1.2.3:1",
        "tcp://256.1.1.1:1",
        "tcp://1.2.3.4.5:1",
        "tcp://01.2.3.4:1",
        "tcp://1.2.3.4.:1",
        "tcp://1..2.3:1",
        "tcp://::1:1",
        "tcp://[::1:1",
        "tcp://[]:1",
        "tcp://[1.2.3.4]:1",
        "tcp://[::1%eth0]:1",
        "tcp://[::g]:1",
        "tcp://[1:2:3:4:5:6:7:8:9]:1",
        "tcp://-host:1",
        "tcp://host-:1",
        "tcp://a-.b:1",
        "tcp://a.-b:1",
        "tcp://a..b:1",
        "tcp://.a:1",
        "tcp://a.:1",
        "tcp://a b:1",
        "tcp://a/b:1",
        "tcp://a@b:1",
        "tcp://a;b:1",
        "tcp://a:b:1",
        "tcp://h\xc3\xb6st:1",
        "tcp://aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa:1",
        "tcp://[11111111111111111111111111111111111111111111111111111111111111111]:1",
    };
    static const char *const listening[] = {"tcp://127.0.0.1:*", "tcp://*:*",
                                            "tcp://*:7741", "tcp://[::]:*"};
    witan_diag diag = {0};
    char longest[300] = "tcp://";

    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        CHECK_STATUS(witan_endpoint_check(good[i], false, NULL), WITAN_OK);
        CHECK_STATUS(witan_endpoint_check(good[i], true, NULL), WITAN_OK);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (!CHECK_STATUS(witan_endpoint_check(bad[i], true, NULL), WITAN_E_CONFIG) ||
            !CHECK_STATUS(witan_endpoint_check(bad[i], false, NULL), WITAN_E_CONFIG)) {
            (void)fprintf(stderr, "  accepted: %s\n", bad[i]);
        }
    }
    for (size_t i = 0; i < sizeof listening / sizeof listening[0]; i++) {
        CHECK_STATUS(witan_endpoint_check(listening[i], true, NULL), WITAN_OK);
        CHECK_STATUS(witan_endpoint_check(listening[i], false, &diag), WITAN_E_CONFIG);
    }
    CHECK_CONTAINS(diag.message, "tcp://HOST:PORT");
    for (size_t i = 6; i < 254; i++) {
        longest[i] = i % 50 == 0 ? '.' : 'a';
    }
    memcpy(longest + 254, ":1", 3); /* 256 */
    CHECK_STATUS(witan_endpoint_check(longest, false, NULL), WITAN_E_CONFIG);
    memcpy(longest + 253, ":1", 3);
    CHECK_STATUS(witan_endpoint_check(longest, false, NULL), WITAN_OK);
}

static void
names(void)
{
    char name[80];

    memset(name, 'a', sizeof name);
    name[64] = '\0';
    CHECK_STATUS(witan_peer_name_check(name, NULL), WITAN_OK);
    name[64] = 'a';
    name[65] = '\0';
    CHECK_STATUS(witan_peer_name_check(name, NULL), WITAN_E_CONFIG);
    CHECK_STATUS(witan_peer_name_check("0", NULL), WITAN_OK);
    CHECK_STATUS(witan_peer_name_check("Site-1_b.c", NULL), WITAN_OK);
    static const char *const bad[] = {"",    ".a",    "-a",  "_a",       "a b", "a/b",
                                      "a\n", "a\x7f", "a:b", "\xc3\xb6", "../x"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK_STATUS(witan_peer_name_check(bad[i], NULL), WITAN_E_CONFIG);
    }
}

int
main(void)
{
    CHECK_STATUS(witan_secure_start(NULL), WITAN_OK);
    RUN(reads_and_writes_the_golden_line);
    RUN(refuses_every_cut_and_typing_error);
    RUN(refuses_what_is_no_line);
    RUN(the_longest_line_fits);
    RUN(derives_the_golden_keys);
    RUN(addresses);
    RUN(names);
    return witan_test_finish();
}
