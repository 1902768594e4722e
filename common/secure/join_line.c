#include "secure/join_line.h"

#include <netdb.h>
#include <sodium.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "base/text.h"

/* Bytes below the base64url, in this order; checksum: first bytes of BLAKE2b-256 over a
 * domain and all bytes before it. */
enum {
    VERSION = 1,
    FIXED_SIZE = 1 + 2 * WITAN_KEY_SIZE + WITAN_TOKEN_ID_SIZE + WITAN_KEY_SIZE,
    CHECK_SIZE = 8,
    BYTES_MIN = FIXED_SIZE + 1 + 1 + CHECK_SIZE,
    BYTES_MAX = BYTES_MIN + WITAN_ENDPOINT_MAX + WITAN_NAME_MAX
};
#define PREFIX "witan1:"
_Static_assert(sizeof PREFIX + BYTES_MAX * 4 / 3 + 2 <= WITAN_JOIN_LINE_MAX,
               "the longest line fits its limit");

static bool
is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool
is_alphanumeric(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static void
checksum(uint8_t out[CHECK_SIZE], const uint8_t *bytes, size_t size)
{
    static const char domain[] = "WITAN-join-line-v1";
    uint8_t sum[WITAN_DIGEST_SIZE];
    witan_digest digest;

    witan_digest_init(&digest);
    witan_digest_update(&digest, domain, sizeof domain - 1);
    witan_digest_update(&digest, bytes, size);
    witan_digest_final(&digest, sum);
    memcpy(out, sum, CHECK_SIZE);
    witan_wipe(&digest, sizeof digest);
}

void
witan_join_line_draw(witan_join_line *self)
{
    randombytes_buf(self->token, sizeof self->token);
    randombytes_buf(self->secret, sizeof self->secret);
}

static uint8_t *
put(uint8_t *to, const void *bytes, size_t size)
{
    memcpy(to, bytes, size);
    return to + size;
}

void
witan_join_line_format(const witan_join_line *self, char out[WITAN_JOIN_LINE_MAX])
{
    size_t endpoint = strlen(self->endpoint), name = strlen(self->name);
    uint8_t bytes[BYTES_MAX], *end = bytes;

    WITAN_ASSERT(endpoint <= WITAN_ENDPOINT_MAX && name <= WITAN_NAME_MAX);
    *end++ = VERSION;
    end = put(end, self->coordinator.sign, WITAN_KEY_SIZE);
    end = put(end, self->coordinator.transport, WITAN_KEY_SIZE);
    end = put(end, self->token, WITAN_TOKEN_ID_SIZE);
    end = put(end, self->secret, WITAN_KEY_SIZE);
    *end++ = (uint8_t)endpoint;
    end = put(end, self->endpoint, endpoint);
    *end++ = (uint8_t)name;
    end = put(end, self->name, name);
    checksum(end, bytes, (size_t)(end - bytes));
    end += CHECK_SIZE;

    memcpy(out, PREFIX, sizeof PREFIX - 1);
    (void)sodium_bin2base64(
        out + sizeof PREFIX - 1, WITAN_JOIN_LINE_MAX - (sizeof PREFIX - 1), bytes,
        (size_t)(end - bytes), sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    witan_wipe(bytes, sizeof bytes);
}

static witan_status
mistyped(witan_diag *diag)
{
    return witan_diag_fail(diag, WITAN_E_CONFIG,
                           "the join line is cut or mistyped: copy it again, whole");
}

static witan_status
newer(witan_diag *diag)
{
    return witan_diag_fail(
        diag, WITAN_E_CONFIG,
        "the join line was made by a newer version: update witan here");
}

/* A text with its length before it; false: it does not fit. */
static bool
take_text(char *out, size_t limit, const uint8_t **at, const uint8_t *end)
{
    size_t length;

    if (*at >= end || (length = **at) > limit || (size_t)(end - *at) - 1 < length) {
        return false;
    }
    memcpy(out, *at + 1, length);
    out[length] = '\0';
    *at += 1 + length;
    return true;
}

static const uint8_t *
take(void *out, const uint8_t *from, size_t size)
{
    memcpy(out, from, size);
    return from + size;
}

static witan_status
read_bytes(witan_join_line *out, const uint8_t *bytes, size_t size, witan_diag *diag)
{
    uint8_t sum[CHECK_SIZE];
    const uint8_t *at = bytes + 1, *end = bytes + size - CHECK_SIZE;

    checksum(sum, bytes, size - CHECK_SIZE);
    if (!witan_secret_equal(sum, end, CHECK_SIZE)) {
        return mistyped(diag);
    }
    if (bytes[0] != VERSION) {
        return newer(diag);
    }
    at = take(out->coordinator.sign, at, WITAN_KEY_SIZE);
    at = take(out->coordinator.transport, at, WITAN_KEY_SIZE);
    at = take(out->token, at, WITAN_TOKEN_ID_SIZE);
    at = take(out->secret, at, WITAN_KEY_SIZE);
    if (!take_text(out->endpoint, WITAN_ENDPOINT_MAX, &at, end) ||
        !take_text(out->name, WITAN_NAME_MAX, &at, end)) {
        return mistyped(diag);
    }
    WITAN_TRY(witan_endpoint_check(out->endpoint, false, diag));
    return witan_peer_name_check(out->name, diag);
}

/* Fills `out` from the text without its surroundings; on failure `out` holds rubbish.
 */
static witan_status
read_text(witan_join_line *out, const char *text, size_t size, witan_diag *diag)
{
    const size_t prefix = sizeof PREFIX - 1;
    uint8_t bytes[BYTES_MAX];
    char again[WITAN_JOIN_LINE_MAX];
    size_t bytes_size = 0;
    witan_status status;

    if (size < prefix || strncasecmp(text, PREFIX, prefix - 2) != 0) {
        return witan_diag_fail(diag, WITAN_E_CONFIG,
                               "this is no join line: one begins with " PREFIX
                               " and comes from 'witan invite' at the coordinator");
    }
    if (memcmp(text, PREFIX, prefix - 2) == 0 && text[5] > '1' && text[5] <= '9' &&
        text[6] == ':') {
        return newer(diag);
    }
    if (memcmp(text, PREFIX, prefix) != 0 ||
        sodium_base642bin(bytes, sizeof bytes, text + prefix, size - prefix, NULL,
                          &bytes_size, NULL,
                          sodium_base64_VARIANT_URLSAFE_NO_PADDING) != 0 ||
        bytes_size < BYTES_MIN) {
        witan_wipe(bytes, sizeof bytes);
        return mistyped(diag);
    }
    status = read_bytes(out, bytes, bytes_size, diag);
    if (status == WITAN_OK) {
        /* One line has one spelling. That covers a NUL in a text, bytes behind the
         * name, and that libsodium 1.0.18 reads the byte 0xdf as '_'. */
        witan_join_line_format(out, again);
        if (strlen(again) != size || !witan_secret_equal(again, text, size)) {
            status = mistyped(diag);
        }
        witan_wipe(again, sizeof again);
    }
    witan_wipe(bytes, sizeof bytes);
    return status;
}

witan_status
witan_join_line_parse(witan_join_line *out, const char *text, size_t size,
                      witan_diag *diag)
{
    static const char space[] = " \t\r\n";
    witan_status status;

    memset(out, 0, sizeof *out);
    while (size > 0 && memchr(space, text[0], sizeof space - 1) != NULL) {
        text++;
        size--;
    }
    while (size > 0 && memchr(space, text[size - 1], sizeof space - 1) != NULL) {
        size--;
    }
    status = read_text(out, text, size, diag);
    if (status != WITAN_OK) {
        witan_wipe(out, sizeof *out);
    }
    return status;
}

/* BLAKE2b-256 of domain and rest, keyed with a secret. */
static void
derive(uint8_t out[WITAN_KEY_SIZE], const uint8_t secret[WITAN_KEY_SIZE],
       const char *domain, const void *rest, size_t rest_size)
{
    crypto_generichash_state state;

    WITAN_ASSERT(
        crypto_generichash_init(&state, secret, WITAN_KEY_SIZE, WITAN_KEY_SIZE) == 0 &&
        crypto_generichash_update(&state, (const uint8_t *)domain, strlen(domain)) ==
            0 &&
        crypto_generichash_update(&state, rest, rest_size) == 0 &&
        crypto_generichash_final(&state, out, WITAN_KEY_SIZE) == 0);
    witan_wipe(&state, sizeof state);
}

void
witan_join_door_key(uint8_t public_key[WITAN_KEY_SIZE],
                    uint8_t secret_key[WITAN_KEY_SIZE],
                    const uint8_t secret[WITAN_KEY_SIZE])
{
    derive(secret_key, secret, "WITAN-join-door-v1", NULL, 0);
    secret_key[0] &= 248;
    secret_key[31] = (uint8_t)((secret_key[31] & 127) | 64);
    WITAN_ASSERT(crypto_scalarmult_base(public_key, secret_key) == 0);
}

void
witan_join_psk(uint8_t out[WITAN_KEY_SIZE], const uint8_t secret[WITAN_KEY_SIZE])
{
    derive(out, secret, "WITAN-join-psk-v1", NULL, 0);
}

void
witan_peer_psk(uint8_t out[WITAN_KEY_SIZE], const uint8_t join_psk[WITAN_KEY_SIZE],
               const uint8_t client_sign[WITAN_KEY_SIZE])
{
    derive(out, join_psk, "WITAN-peer-psk-v1", client_sign, WITAN_KEY_SIZE);
}

witan_status
witan_peer_name_check(const char *name, witan_diag *diag)
{
    size_t length = strlen(name), i = 0;

    while (i < length &&
           (is_alphanumeric(name[i]) || (i > 0 && strchr("._-", name[i])))) {
        i++;
    }
    if (length == 0 || length > WITAN_NAME_MAX || i < length) {
        return witan_diag_fail(diag, WITAN_E_CONFIG,
                               "a client's name is 1 to 64 of A-Z a-z 0-9 . _ -, and "
                               "begins with a letter or a digit");
    }
    return WITAN_OK;
}

/* Labels of letters, digits, '-' inside, and '_', which container networks use. */
static bool
is_dns_name(const char *host, size_t size)
{
    size_t label = 0;

    for (size_t i = 0; i < size; i++) {
        if (host[i] == '.') {
            if (label == 0 || host[i - 1] == '-') {
                return false;
            }
            label = 0;
        } else if (is_alphanumeric(host[i]) || host[i] == '_' ||
                   (host[i] == '-' && label > 0)) {
            if (++label > 63) {
                return false;
            }
        } else {
            return false;
        }
    }
    return label > 0 && host[size - 1] != '-';
}

/* Four numbers up to 255, without leading zeros: some readers take those as octal. */
static bool
is_ipv4(const char *host, size_t size)
{
    size_t i = 0;

    for (int part = 0; part < 4; part++) {
        size_t first = i;
        unsigned value = 0;
        while (i < size && is_digit(host[i]) && i - first < 3) {
            value = value * 10 + (unsigned)(host[i++] - '0');
        }
        if (i == first || value > 255 || (i - first > 1 && host[first] == '0') ||
            (part < 3 && (i >= size || host[i++] != '.'))) {
            return false;
        }
    }
    return i == size;
}

static bool
is_ipv6(const char *host, size_t size)
{
    const struct addrinfo numeric = {.ai_flags = AI_NUMERICHOST, .ai_family = AF_INET6};
    struct addrinfo *found = NULL;
    char text[64];

    if (size >= sizeof text) {
        return false;
    }
    memcpy(text, host, size);
    text[size] = '\0';
    if (strspn(text, "0123456789abcdefABCDEF:.") != size ||
        getaddrinfo(text, NULL, &numeric, &found) != 0) {
        return false;
    }
    freeaddrinfo(found);
    return true;
}

static bool
is_host(const char *host, size_t size, bool listening)
{
    bool numeric = strspn(host, "0123456789.") >= size;

    if (size > 2 && host[0] == '[') {
        return host[size - 1] == ']' && is_ipv6(host + 1, size - 2);
    }
    if (listening && size == 1 && host[0] == '*') {
        return true;
    }
    return numeric ? is_ipv4(host, size) : is_dns_name(host, size);
}

static bool
is_port(const char *port, bool listening)
{
    uint64_t number;

    if (listening && strcmp(port, "*") == 0) {
        return true;
    }
    return port[0] != '0' && witan_text_parse_u64(port, &number) && number <= 65535;
}

witan_status
witan_endpoint_check(const char *endpoint, bool listening, witan_diag *diag)
{
    const char scheme[] = "tcp://";
    const size_t skip = sizeof scheme - 1, length = strlen(endpoint);
    const char *host = endpoint + skip, *colon;

    if (length > WITAN_ENDPOINT_MAX || strncmp(endpoint, scheme, skip) != 0 ||
        (colon = strrchr(host, ':')) == NULL ||
        !is_host(host, (size_t)(colon - host), listening) ||
        !is_port(colon + 1, listening)) {
        return witan_diag_fail(diag, WITAN_E_CONFIG,
                               "'%.80s' is no address: write tcp://HOST:PORT, such as "
                               "tcp://fl.example.org:7741, tcp://192.0.2.1:7741 or "
                               "tcp://[2001:db8::1]:7741",
                               endpoint);
    }
    return WITAN_OK;
}
