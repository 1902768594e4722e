#include "client/shell/membership.h"

#include <stdio.h>
#include <string.h>

#include "base/digest.h"
#include "base/text.h"
#include "secure/join_line.h"

#define FIRST_LINE "WITAN-MEMBERSHIP-1\n"

/* Longest: the first line, six fields with their words, the checksum. */
_Static_assert(sizeof FIRST_LINE + 6 * 16 + WITAN_ENDPOINT_MAX + WITAN_NAME_MAX + 10 +
                       4 * (size_t)WITAN_DIGEST_HEX_SIZE <=
                   WITAN_MEMBERSHIP_MAX,
               "the longest file fits its limit");
_Static_assert(WITAN_KEY_SIZE == WITAN_DIGEST_SIZE, "keys are written as digests are");

void
witan_membership_format(const witan_membership *self, char out[WITAN_MEMBERSHIP_MAX],
                        size_t *size)
{
    char sign[WITAN_DIGEST_HEX_SIZE], transport[WITAN_DIGEST_HEX_SIZE];
    char psk[WITAN_DIGEST_HEX_SIZE], check[WITAN_DIGEST_HEX_SIZE];
    uint8_t sum[WITAN_DIGEST_SIZE];
    witan_digest digest;
    witan_digest_hex(sign, self->coordinator.sign);
    witan_digest_hex(transport, self->coordinator.transport);
    witan_digest_hex(psk, self->psk);
    int length = snprintf(out, WITAN_MEMBERSHIP_MAX,
                          FIRST_LINE "endpoint %s\nname %s\nclient %lu\nsign %s\n"
                                     "transport %s\npsk %s\n",
                          self->endpoint, self->name, (unsigned long)self->client, sign,
                          transport, psk);
    WITAN_ASSERT(length > 0);
    witan_digest_init(&digest);
    witan_digest_update(&digest, out, (size_t)length);
    witan_digest_final(&digest, sum);
    witan_digest_hex(check, sum);
    int rest = snprintf(out + length, WITAN_MEMBERSHIP_MAX - (size_t)length,
                        "check %s\n", check);
    WITAN_ASSERT(rest > 0);
    *size = (size_t)length + (size_t)rest;
    witan_wipe(psk, sizeof psk);
    witan_wipe(&digest, sizeof digest);
}

/* The rest of the line that begins with `word`, into `out`; false when it is another
 * line or does not fit. */
static bool
take_line(const char **at, const char *stop, const char *word, char *out, size_t room)
{
    size_t prefix = strlen(word);
    const char *newline = memchr(*at, '\n', (size_t)(stop - *at));
    if (newline == NULL || (size_t)(newline - *at) < prefix ||
        memcmp(*at, word, prefix) != 0 || (size_t)(newline - *at) - prefix >= room) {
        return false;
    }
    size_t length = (size_t)(newline - *at) - prefix;
    memcpy(out, *at + prefix, length);
    out[length] = '\0';
    *at = newline + 1;
    return strlen(out) == length;
}

static int
nibble(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool
take_key(const char **at, const char *stop, const char *word, uint8_t *key)
{
    char hex[WITAN_DIGEST_HEX_SIZE];
    bool ok =
        take_line(at, stop, word, hex, sizeof hex) && strlen(hex) == sizeof hex - 1;
    for (size_t i = 0; ok && i < WITAN_KEY_SIZE; i++) {
        int high = nibble(hex[2 * i]), low = nibble(hex[2 * i + 1]);
        ok = high >= 0 && low >= 0;
        key[i] = (uint8_t)(high * 16 + low);
    }
    witan_wipe(hex, sizeof hex);
    return ok;
}

static bool
read_fields(witan_membership *out, const char *text, size_t size)
{
    const char *at = text + sizeof FIRST_LINE - 1, *stop = text + size;
    char number[16], again[WITAN_MEMBERSHIP_MAX];
    uint64_t client;
    size_t again_size;
    if (!take_line(&at, stop, "endpoint ", out->endpoint, sizeof out->endpoint) ||
        !take_line(&at, stop, "name ", out->name, sizeof out->name) ||
        !take_line(&at, stop, "client ", number, sizeof number) ||
        !take_key(&at, stop, "sign ", out->coordinator.sign) ||
        !take_key(&at, stop, "transport ", out->coordinator.transport) ||
        !take_key(&at, stop, "psk ", out->psk) ||
        !witan_text_parse_u64(number, &client) || client >= WITAN_CLIENTS_MAX ||
        witan_endpoint_check(out->endpoint, false, NULL) != WITAN_OK ||
        witan_peer_name_check(out->name, NULL) != WITAN_OK) {
        return false;
    }
    out->client = (uint32_t)client;
    witan_membership_format(out, again, &again_size);
    bool same = again_size == size && witan_secret_equal(again, text, size);
    witan_wipe(again, sizeof again);
    return same;
}

witan_status
witan_membership_parse(witan_membership *out, const char *text, size_t size,
                       witan_diag *diag)
{
    const size_t first = sizeof FIRST_LINE - 1;
    memset(out, 0, sizeof *out);
    if (size < first || memcmp(text, FIRST_LINE, first) != 0) {
        return witan_diag_fail(diag, WITAN_E_DATA,
                               "this is no membership file of this version: it does "
                               "not begin with WITAN-MEMBERSHIP-1");
    }
    if (size > WITAN_MEMBERSHIP_MAX || !read_fields(out, text, size)) {
        witan_wipe(out, sizeof *out);
        return witan_diag_fail(diag, WITAN_E_DATA,
                               "the membership file is damaged (its checksum does not "
                               "fit): restore it from a copy, or join again");
    }
    return WITAN_OK;
}
