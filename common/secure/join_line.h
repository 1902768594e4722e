/* join_line.h - the one line that admits a client: where the coordinator is, which keys
 * it has (pinned: no trust on first use), and a single-use secret.
 * "witan1:" + base64url of version, keys, token, secret, endpoint, name, checksum.
 * From the secret come, each under its own domain: the CURVE key that opens the door
 * for the enrolment alone, and the pre-shared key of its Noise session. */
#ifndef WITAN_SECURE_JOIN_LINE_H
#define WITAN_SECURE_JOIN_LINE_H

#include "base/digest.h"
#include "base/limits.h"
#include "secure/identity.h"

enum {
    WITAN_TOKEN_ID_SIZE = 8,
    WITAN_JOIN_LINE_MAX = 768
};

typedef struct witan_join_line {
    char endpoint[256]; /* tcp://host:port */
    char name[65];      /* the name that the invitation is for */
    witan_public_identity coordinator;
    uint8_t token[WITAN_TOKEN_ID_SIZE]; /* names the invitation; not secret */
    uint8_t secret[WITAN_KEY_SIZE];
} witan_join_line;

/* Random token and secret. */
void witan_join_line_draw(witan_join_line *self);
/* NUL-terminated text; the caller wipes it. */
void witan_join_line_format(const witan_join_line *self, char out[WITAN_JOIN_LINE_MAX]);
/* Surrounding white space is allowed. Errors: E_CONFIG: "this is no join line ...",
 * "cut or mistyped", made by a newer version; never a byte of the secret. */
WITAN_NODISCARD witan_status witan_join_line_parse(witan_join_line *out,
                                                   const char *text, size_t size,
                                                   witan_diag *diag);

/* The CURVE key pair that the door admits for this invitation. The coordinator keeps
 * only the public half. */
void witan_join_door_key(uint8_t public_key[WITAN_KEY_SIZE],
                         uint8_t secret_key[WITAN_KEY_SIZE],
                         const uint8_t secret[WITAN_KEY_SIZE]);
/* Pre-shared key of the enrolment's session: the coordinator keeps it until the
 * invitation is used or has expired. */
void witan_join_psk(uint8_t out[WITAN_KEY_SIZE], const uint8_t secret[WITAN_KEY_SIZE]);
/* Pre-shared key of every later session of an enrolled client, known to both sides. */
void witan_peer_psk(uint8_t out[WITAN_KEY_SIZE], const uint8_t join_psk[WITAN_KEY_SIZE],
                    const uint8_t client_sign[WITAN_KEY_SIZE]);

/* A client's name: [A-Za-z0-9._-]{1,64}, first a letter or a digit. Errors: E_CONFIG.
 */
WITAN_NODISCARD witan_status witan_peer_name_check(const char *name, witan_diag *diag);

/* tcp://host:port: host an IPv4 address, an [IPv6] address or a DNS name, port 1 to
 * 65535; either may be "*" when `listening`. Errors: E_CONFIG. */
WITAN_NODISCARD witan_status witan_endpoint_check(const char *endpoint, bool listening,
                                                  witan_diag *diag);

#endif
