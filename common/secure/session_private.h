/* session_private.h - what session.c holds, open to its tests: they lower the limits of
 * a rekeying and see that no key meets the same counter twice. Private to the room. */
#ifndef WITAN_SECURE_SESSION_PRIVATE_H
#define WITAN_SECURE_SESSION_PRIVATE_H

#include "secure/noise.h"
#include "secure/session.h"

typedef enum session_state {
    SESSION_CLOSED, /* failed, or not begun */
    SESSION_HELLO_WRITTEN,
    SESSION_HELLO_READ,
    SESSION_OPEN,
} session_state;

/* One direction. */
typedef struct session_way {
    uint8_t key[WITAN_KEY_SIZE];
    uint64_t sequence; /* last one used or accepted */
    uint32_t epoch;
} session_way;

/* In secret memory as a whole: one block, because each costs address-space entries. */
struct witan_session {
    session_state state;
    session_way send, receive;
    uint64_t rekey_messages, rekey_bytes, rekey_age_ms; /* limits of an epoch */
    uint64_t epoch_messages, epoch_bytes;               /* sent in this epoch */
    uint64_t epoch_start_ms;
    bool epoch_started; /* epoch_start_ms is set: by the first message */
    uint8_t id[WITAN_SESSION_ID_SIZE];
    uint8_t hash[32];
    uint8_t own_id[WITAN_KEY_ID_SIZE];
    uint8_t peer_id[WITAN_KEY_ID_SIZE];
    bool peer_known;
    uint8_t psk[WITAN_KEY_SIZE]; /* client, until WELCOME */
    witan_noise noise;           /* until open; then wiped */
};

#endif
