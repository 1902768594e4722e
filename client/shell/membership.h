/* membership.h - what a client's directory says of its place in a federation: which
 * coordinator (pinned keys and address), which seat, which pre-shared key.
 * Threads: no state. */
#ifndef WITAN_CLIENT_SHELL_MEMBERSHIP_H
#define WITAN_CLIENT_SHELL_MEMBERSHIP_H

#include "base/limits.h"
#include "secure/identity.h"

enum {
    WITAN_MEMBERSHIP_MAX = 1024 /* bytes of the file */
};

typedef struct witan_membership {
    witan_public_identity coordinator;
    char endpoint[WITAN_ENDPOINT_MAX + 1];
    char name[WITAN_NAME_MAX + 1];
    uint32_t client;
    uint8_t psk[WITAN_KEY_SIZE]; /* secret */
} witan_membership;

/* The text of membership.key: "WITAN-MEMBERSHIP-1", a line per field, a checksum. The
 * caller wipes it. */
void witan_membership_format(const witan_membership *self,
                             char out[WITAN_MEMBERSHIP_MAX], size_t *size);
/* Exactly the bytes that would be written are read. Errors: E_DATA (one sentence, no
 * byte of the content); *out is then wiped. */
WITAN_NODISCARD witan_status witan_membership_parse(witan_membership *out,
                                                    const char *text, size_t size,
                                                    witan_diag *diag);

#endif
