/* curve_peer.c - see curve_peer.h. */
#define _GNU_SOURCE /* POLLRDHUP */
#include "curve_peer.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <sodium.h>

enum {
    HEADER_MAX = 9,
    MAC = crypto_box_MACBYTES
};

static void
short_nonce(uint8_t nonce[24], const char *prefix, uint64_t counter)
{
    memcpy(nonce, prefix, 16);
    for (int i = 0; i < 8; i++) {
        nonce[16 + i] = (uint8_t)(counter >> (56 - 8 * i));
    }
}

bool
curve_peer_raw(curve_peer *self, const void *bytes, size_t size, int timeout_ms)
{
    const uint8_t *at = bytes;
    while (size > 0) {
        ssize_t sent = send(self->file, at, size, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent > 0) {
            at += sent;
            size -= (size_t)sent;
            continue;
        }
        /* A window that the other side closed stays closed when it hangs up. */
        struct pollfd item = {.fd = self->file, .events = POLLOUT | POLLRDHUP};
        if (errno != EAGAIN || poll(&item, 1, timeout_ms) <= 0 ||
            (item.revents & POLLRDHUP) != 0) {
            return false;
        }
    }
    return true;
}

static size_t
frame_header(uint8_t *out, uint8_t flags, size_t size)
{
    if (size <= 255) {
        out[0] = flags;
        out[1] = (uint8_t)size;
        return 2;
    }
    out[0] = flags | 2;
    for (int i = 0; i < 8; i++) {
        out[1 + i] = (uint8_t)((uint64_t)size >> (56 - 8 * i));
    }
    return HEADER_MAX;
}

static bool
send_command(curve_peer *self, const uint8_t *body, size_t size)
{
    uint8_t header[HEADER_MAX];
    size_t header_size = frame_header(header, 4, size);
    return curve_peer_raw(self, header, header_size, 5000) &&
           curve_peer_raw(self, body, size, 5000);
}

static bool
read_all(int file, void *bytes, size_t size)
{
    uint8_t *at = bytes;
    while (size > 0) {
        ssize_t got = read(file, at, size);
        if (got <= 0) {
            return false;
        }
        at += got;
        size -= (size_t)got;
    }
    return true;
}

/* Reads one command of at most 255 bytes; its size, or 0. */
static size_t
read_command(int file, uint8_t body[255])
{
    uint8_t header[2];
    if (!read_all(file, header, 2) || header[0] != 4 ||
        !read_all(file, body, header[1])) {
        return 0;
    }
    return header[1];
}

static bool
say_hello(curve_peer *self, const test_keys *server, const uint8_t *short_public,
          const uint8_t *short_secret)
{
    static const uint8_t zeros[64];
    uint8_t body[200] = "\x05HELLO\x01", nonce[24];
    short_nonce(nonce, "CurveZMQHELLO---", ++self->nonce);
    memcpy(body + 80, short_public, 32);
    memcpy(body + 112, nonce + 16, 8);
    return crypto_box_easy(body + 120, zeros, sizeof zeros, nonce, server->public_key,
                           short_secret) == 0 &&
           send_command(self, body, sizeof body);
}

static size_t
put_property(uint8_t *out, const char *name, const void *value, size_t size)
{
    size_t length = strlen(name);
    out[0] = (uint8_t)length;
    memcpy(out + 1, name, length);
    memset(out + 1 + length, 0, 3);
    out[4 + length] = (uint8_t)size;
    if (size > 0) {
        memcpy(out + 5 + length, value, size);
    }
    return 5 + length + size;
}

/* The second half of the handshake: our long-term key and the metadata. */
static bool
initiate(curve_peer *self, const test_keys *server, const test_keys *own,
         const uint8_t *short_public, const uint8_t *short_secret,
         const uint8_t *welcome, const void *identity, size_t identity_size)
{
    uint8_t nonce[24], opened[128], vouch[64], plain[512], body[700] = "\x08INITIATE";
    size_t size = 128;
    memcpy(nonce, "WELCOME-", 8);
    memcpy(nonce + 8, welcome + 8, 16);
    if (crypto_box_open_easy(opened, welcome + 24, 144, nonce, server->public_key,
                             short_secret) != 0 ||
        crypto_box_beforenm(self->shared, opened, short_secret) != 0) {
        return false;
    }
    memcpy(plain, own->public_key, 32);
    memcpy(nonce, "VOUCH---", 8);
    randombytes_buf(nonce + 8, 16);
    memcpy(plain + 32, nonce + 8, 16);
    memcpy(vouch, short_public, 32);
    memcpy(vouch + 32, server->public_key, 32);
    if (crypto_box_easy(plain + 48, vouch, sizeof vouch, nonce, opened,
                        own->secret_key) != 0) {
        return false;
    }
    size += put_property(plain + size, "Socket-Type", "DEALER", 6);
    size += put_property(plain + size, "Identity", identity, identity_size);
    memcpy(body + 9, opened + 32, 96);
    short_nonce(nonce, "CurveZMQINITIATE", ++self->nonce);
    memcpy(body + 105, nonce + 16, 8);
    return crypto_box_easy_afternm(body + 113, plain, size, nonce, self->shared) == 0 &&
           send_command(self, body, 113 + size + MAC);
}

bool
curve_peer_open(curve_peer *self, const char *endpoint, const test_keys *server,
                const test_keys *own, const void *identity, size_t identity_size)
{
    const struct timeval patience = {.tv_sec = 5};
    uint8_t greeting[64] = {0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0x7f, 3}, theirs[64];
    uint8_t welcome[255], ready[255], short_public[32], short_secret[32];
    memcpy(greeting + 12, "CURVE", 5);
    memset(self, 0, sizeof *self);
    self->file = test_tcp_connect(endpoint);
    if (self->file < 0) {
        return false;
    }
    (void)setsockopt(self->file, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    (void)setsockopt(self->file, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    (void)crypto_box_keypair(short_public, short_secret);
    return curve_peer_raw(self, greeting, sizeof greeting, 5000) &&
           read_all(self->file, theirs, sizeof theirs) &&
           say_hello(self, server, short_public, short_secret) &&
           read_command(self->file, welcome) == 168 &&
           memcmp(welcome, "\x07WELCOME", 8) == 0 &&
           initiate(self, server, own, short_public, short_secret, welcome, identity,
                    identity_size) &&
           read_command(self->file, ready) > 6 && memcmp(ready, "\x05READY", 6) == 0;
}

void
curve_peer_close(curve_peer *self)
{
    if (self->file >= 0) {
        (void)close(self->file);
    }
    self->file = -1;
}

void
curve_peer_reset(curve_peer *self)
{
    const struct linger none = {.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(self->file, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    curve_peer_close(self);
}

void
curve_peer_hold(curve_peer *self, bool hold)
{
    (void)setsockopt(self->file, IPPROTO_TCP, TCP_CORK, &(int){hold}, sizeof(int));
}

bool
curve_peer_send(curve_peer *self, const void *bytes, size_t size, int flags,
                int timeout_ms)
{
    uint8_t nonce[24];
    size_t body = 16 + MAC + 1 + size;
    uint8_t *frame = malloc(HEADER_MAX + body), *plain = malloc(1 + size);
    bool sent = false;
    if (frame != NULL && plain != NULL) {
        size_t header = frame_header(frame, 0, body);
        plain[0] = (uint8_t)flags;
        memcpy(plain + 1, bytes, size);
        short_nonce(nonce, "CurveZMQMESSAGEC", ++self->nonce);
        memcpy(frame + header, "\x07MESSAGE", 8);
        memcpy(frame + header + 8, nonce + 16, 8);
        sent = crypto_box_easy_afternm(frame + header + 16, plain, 1 + size, nonce,
                                       self->shared) == 0 &&
               curve_peer_raw(self, frame, header + body, timeout_ms);
    }
    free(plain);
    free(frame);
    return sent;
}
