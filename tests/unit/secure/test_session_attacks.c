/* test_session_attacks.c - what a session refuses: changed, replayed, reordered,
 * spliced, reflected frames; other keys, other prologues, other senders. */
#include "base/random.h"
#include "pair.h"

static witan_random random_stream;

/* A changed copy of frame [size] in `out` [size + 8]: flipped bits, cut, or longer. */
static size_t
change(uint8_t *out, const uint8_t *frame, size_t size)
{
    uint32_t what = witan_random_below(&random_stream, 8);

    memcpy(out, frame, size);
    if (what == 0) {
        return witan_random_below(&random_stream, (uint32_t)size);
    }
    if (what == 1) {
        size_t more = 1 + witan_random_below(&random_stream, 8);
        memset(out + size, 0, more);
        return size + more;
    }
    /* Each at another place, so that they cannot undo each other. */
    size_t stride = size / what;
    for (uint32_t i = 0; i + 1 < what; i++) {
        size_t at = i * stride + witan_random_below(&random_stream, (uint32_t)stride);
        out[at] ^= (uint8_t)(1u << witan_random_below(&random_stream, 8));
    }
    return size;
}

static void
changed_data(void)
{
    uint8_t frame[PAIR_FRAME], bad[PAIR_FRAME + 8], plain[PAIR_FRAME + 8];
    size_t size, opened = 0;
    pair self;

    pair_init(&self);
    pair_open(&self);
    self.at_client->rekey_messages = 3;
    for (int message = 0; message < 10; message++) {
        pair_seal(self.at_client, frame);
        session_way before = self.at_coordinator->receive;
        for (int i = 0; i < 1000; i++) {
            size_t bad_size = change(bad, frame, sizeof frame);
            opened += witan_session_open(self.at_coordinator, bad, bad_size, plain,
                                         &size) != WITAN_E_FORGED;
        }
        for (size_t bit = 0; bit < 8 * sizeof frame; bit++) {
            memcpy(bad, frame, sizeof frame);
            bad[bit / 8] ^= (uint8_t)(1 << bit % 8);
            opened += witan_session_open(self.at_coordinator, bad, sizeof frame, plain,
                                         &size) != WITAN_E_FORGED;
        }
        for (size_t cut = 0; cut < sizeof frame; cut++) {
            opened += witan_session_open(self.at_coordinator, frame, cut, plain,
                                         &size) != WITAN_E_FORGED;
        }
        /* Refusals change nothing: the true frame still opens. */
        CHECK(memcmp(&before, &self.at_coordinator->receive, sizeof before) == 0);
        CHECK_STATUS(pair_take(self.at_coordinator, frame), WITAN_OK);
    }
    CHECK(opened == 0);
    pair_fini(&self);
}

static void
changed_handshakes(void)
{
    uint8_t good[WITAN_HANDSHAKE_FRAME_MAX + 8];
    size_t good_size;
    pair self;

    pair_init(&self);
    pair_hello(&self);
    memcpy(good, self.hello, self.hello_size);
    good_size = self.hello_size;
    for (size_t bit = 0; bit < 8 * good_size; bit++) {
        memcpy(self.hello, good, good_size);
        self.hello[bit / 8] ^= (uint8_t)(1 << bit % 8);
        CHECK_STATUS(pair_read_hello(&self), WITAN_E_FORGED);
    }
    for (int i = 0; i < 1000; i++) {
        self.hello_size = change(self.hello, good, good_size);
        CHECK_STATUS(pair_read_hello(&self), WITAN_E_FORGED);
    }
    self.hello_size = good_size;
    memcpy(self.hello, good, good_size);
    CHECK_STATUS(pair_read_hello(&self), WITAN_OK);

    /* A refused WELCOME closes the session, so each try has its own handshake. */
    pair_welcome(&self);
    size_t bits = 8 * self.welcome_size;
    for (size_t bit = 0; bit < bits + 300; bit++) {
        pair_hello(&self);
        CHECK_STATUS(pair_read_hello(&self), WITAN_OK);
        pair_welcome(&self);
        if (bit < bits) {
            self.welcome[bit / 8] ^= (uint8_t)(1 << bit % 8);
        } else {
            memcpy(good, self.welcome, self.welcome_size);
            self.welcome_size = change(self.welcome, good, self.welcome_size);
        }
        CHECK_STATUS(pair_read_welcome(&self), WITAN_E_FORGED);
        CHECK_STATUS(pair_read_welcome(&self), WITAN_E_STATE);
    }
    pair_fini(&self);
}

static void
replay_reorder_loss(void)
{
    uint8_t frames[8][PAIR_FRAME];
    pair self;

    pair_init(&self);
    pair_open(&self);
    for (int i = 0; i < 8; i++) {
        pair_seal(self.at_client, frames[i]);
    }
    CHECK_STATUS(pair_take(self.at_coordinator, frames[0]), WITAN_OK);
    CHECK_STATUS(pair_take(self.at_coordinator, frames[0]), WITAN_E_FORGED);
    CHECK_STATUS(pair_take(self.at_coordinator, frames[1]), WITAN_OK);
    CHECK_STATUS(pair_take(self.at_coordinator, frames[5]), WITAN_OK); /* a gap */
    for (int i = 0; i < 6; i++) {
        CHECK_STATUS(pair_take(self.at_coordinator, frames[i]), WITAN_E_FORGED);
    }
    CHECK_STATUS(pair_take(self.at_coordinator, frames[7]), WITAN_OK);
    CHECK_STATUS(pair_take(self.at_coordinator, frames[6]), WITAN_E_FORGED);
    pair_fini(&self);
}

static void
epochs(void)
{
    uint8_t frames[8][PAIR_FRAME], old[PAIR_FRAME];
    pair self;

    pair_init(&self);
    pair_open(&self);
    self.at_client->rekey_messages = 2;
    session_way first = self.at_client->send;
    for (int i = 0; i < 8; i++) { /* epochs 0 0 1 1 2 2 3 3 */
        pair_seal(self.at_client, frames[i]);
    }
    CHECK_STATUS(pair_take(self.at_coordinator, frames[1]), WITAN_OK);
    CHECK_STATUS(pair_take(self.at_coordinator, frames[4]), WITAN_E_FORGED); /* 0, 2 */
    CHECK_STATUS(pair_take(self.at_coordinator, frames[3]), WITAN_OK);       /* 0, 1 */
    CHECK(self.at_coordinator->receive.epoch == 1);
    CHECK(memcmp(self.at_coordinator->receive.key, first.key, WITAN_KEY_SIZE) != 0);

    /* The key of epoch 0 with a sequence never seen: too late. */
    session_way now = self.at_client->send;
    self.at_client->send = first;
    self.at_client->send.sequence = 100;
    self.at_client->epoch_messages = 0;
    pair_seal(self.at_client, old);
    CHECK_STATUS(pair_take(self.at_coordinator, old), WITAN_E_FORGED);
    /* The same frame, said to be of epoch 1 or 2. */
    old[48] = 1;
    CHECK_STATUS(pair_take(self.at_coordinator, old), WITAN_E_FORGED);
    old[48] = 2;
    CHECK_STATUS(pair_take(self.at_coordinator, old), WITAN_E_FORGED);
    CHECK(self.at_coordinator->receive.epoch == 1);
    self.at_client->send = now;

    CHECK_STATUS(pair_take(self.at_coordinator, frames[4]), WITAN_OK);
    CHECK_STATUS(pair_take(self.at_coordinator, frames[6]), WITAN_OK);
    CHECK(memcmp(&self.at_client->send.key, &self.at_coordinator->receive.key,
                 WITAN_KEY_SIZE) == 0);
    /* The last epoch has none after it, not even for who knows the next key. */
    session_way *last = &self.at_coordinator->receive;
    last->epoch = UINT32_MAX;
    CHECK(crypto_kdf_derive_from_key(self.at_client->send.key, WITAN_KEY_SIZE, 0,
                                     "wtnrekey", last->key) == 0);
    self.at_client->send.epoch = 0;
    self.at_client->epoch_messages = 0;
    pair_seal(self.at_client, old);
    CHECK_STATUS(pair_take(self.at_coordinator, old), WITAN_E_FORGED);
    pair_fini(&self);
}

/* What the header alone shows is refused before anything is decrypted: a failed
 * decryption would have overwritten the plaintext. */
static void
cheap_checks_come_first(void)
{
    static const size_t at[] = {0, 4, 5, 6, 7, 8, 23, 40, 47, 48, 49, 51, 52, 55};
    uint8_t frame[PAIR_FRAME], bad[PAIR_FRAME], plain[8];
    size_t size;
    pair self;

    pair_init(&self);
    pair_open(&self);
    pair_seal(self.at_client, frame);
    CHECK_STATUS(pair_take(self.at_coordinator, frame), WITAN_OK);
    memset(plain, 0xa5, sizeof plain);
    CHECK_STATUS(
        witan_session_open(self.at_coordinator, frame, sizeof frame, plain, &size),
        WITAN_E_FORGED); /* a replay */
    CHECK(plain[0] == 0xa5);
    pair_seal(self.at_client, frame);
    for (size_t i = 0; i < sizeof at / sizeof at[0]; i++) {
        memcpy(bad, frame, sizeof bad);
        bad[at[i]] ^= 0x42; /* an epoch far away, too */
        CHECK_STATUS(
            witan_session_open(self.at_coordinator, bad, sizeof bad, plain, &size),
            WITAN_E_FORGED);
        CHECK(plain[0] == 0xa5);
    }
    bad[PAIR_FRAME - 1] ^= 1;
    memcpy(bad, frame, WITAN_ENVELOPE_HEADER);
    CHECK_STATUS(witan_session_open(self.at_coordinator, bad, sizeof bad, plain, &size),
                 WITAN_E_FORGED);
    CHECK(plain[0] == 0);
    pair_fini(&self);
}

/* A peer that knows every key may still say HELLO and WELCOME in one way only: fields
 * without a meaning are zeros. */
static void
handshake_headers_have_one_form(void)
{
    enum {
        HEADER = WITAN_ENVELOPE_HEADER
    };
    static const size_t at[] = {8, 23, 24, 31, 32, 39, 40, 47, 48, 51};
    const uint8_t ephemeral[WITAN_KEY_SIZE] = {1};
    uint8_t header[HEADER];
    witan_noise noise;
    pair self;

    pair_init(&self);
    const witan_public_identity *client = witan_identity_public(self.client);
    const witan_public_identity *coordinator = witan_identity_public(self.coordinator);
    pair_hello(&self);
    memcpy(header, self.hello, HEADER);
    for (size_t i = 0; i <= sizeof at / sizeof at[0]; i++) {
        bool good = i == sizeof at / sizeof at[0];
        memcpy(self.hello, header, HEADER);
        self.hello[good ? 0 : at[i]] ^= good ? 0 : 1;
        witan_noise_start(&noise, client->transport,
                          witan_identity_transport_secret(self.client),
                          coordinator->transport, self.prologue, strlen(self.prologue));
        witan_noise_mix(&noise, self.hello, HEADER);
        CHECK(witan_noise_write_1(&noise, ephemeral, "hi", 2, self.hello + HEADER));
        CHECK_STATUS(pair_read_hello(&self), good ? WITAN_OK : WITAN_E_FORGED);
    }
    for (size_t i = 0; i <= sizeof at / sizeof at[0]; i++) {
        bool session = i < 2; /* any id will do */
        bool good = i == sizeof at / sizeof at[0];
        pair_hello(&self);
        CHECK_STATUS(pair_read_hello(&self), WITAN_OK);
        noise = self.at_coordinator->noise;
        pair_welcome(&self);
        self.welcome[good ? 0 : at[i]] ^= good ? 0 : 1;
        witan_noise_mix(&noise, self.welcome, HEADER);
        CHECK(witan_noise_write_2(&noise, ephemeral, self.psk, "yes", 3,
                                  self.welcome + HEADER));
        CHECK_STATUS(pair_read_welcome(&self),
                     good || session ? WITAN_OK : WITAN_E_FORGED);
    }
    pair_fini(&self);
}

static void
splice_and_reflection(void)
{
    uint8_t frame[PAIR_FRAME], bad[PAIR_FRAME];
    pair one, two;

    pair_init(&one);
    pair_init(&two);
    pair_open(&one);
    pair_open(&two);
    CHECK(memcmp(witan_session_id(one.at_client), witan_session_id(two.at_client),
                 WITAN_SESSION_ID_SIZE) != 0);
    CHECK(memcmp(witan_session_hash(one.at_client), witan_session_hash(two.at_client),
                 32) != 0);

    /* A frame of one session in the other, with its id too. */
    pair_seal(one.at_client, frame);
    CHECK_STATUS(pair_take(two.at_coordinator, frame), WITAN_E_FORGED);
    memcpy(bad, frame, sizeof bad);
    memcpy(bad + 8, witan_session_id(two.at_client), WITAN_SESSION_ID_SIZE);
    CHECK_STATUS(pair_take(two.at_coordinator, bad), WITAN_E_FORGED);

    /* A frame back at its sender, under the other's name too. */
    CHECK_STATUS(pair_take(one.at_client, frame), WITAN_E_FORGED);
    memcpy(bad, frame, sizeof bad);
    memcpy(bad + 40, one.at_coordinator->own_id, WITAN_KEY_ID_SIZE);
    CHECK_STATUS(pair_take(one.at_client, bad), WITAN_E_FORGED);
    CHECK_STATUS(pair_take(one.at_coordinator, frame), WITAN_OK);

    /* The WELCOME of one handshake in another. */
    pair_hello(&two);
    CHECK_STATUS(witan_session_read_welcome(two.at_client, one.welcome,
                                            one.welcome_size, bad, &two.welcome_size),
                 WITAN_E_FORGED);
    /* A HELLO back at its sender. */
    pair_hello(&two);
    CHECK_STATUS(witan_session_read_welcome(two.at_client, two.hello, two.hello_size,
                                            bad, &two.welcome_size),
                 WITAN_E_FORGED);
    pair_fini(&one);
    pair_fini(&two);
}

/* Another key at one side: the handshake fails at the first who can tell. */
static void
other_keys(void)
{
    witan_identity *other = NULL, *kept;
    uint8_t psk[WITAN_KEY_SIZE];
    pair self;

    CHECK_STATUS(witan_identity_new(&other), WITAN_OK);
    pair_init(&self);

    pair_hello(&self); /* another prologue */
    self.prologue = "prologuf";
    CHECK_STATUS(pair_read_hello(&self), WITAN_E_FORGED);
    self.prologue = "";
    CHECK_STATUS(pair_read_hello(&self), WITAN_E_FORGED);
    self.prologue = "prologue";
    CHECK_STATUS(pair_read_hello(&self), WITAN_OK);

    kept = self.coordinator; /* the client pinned another coordinator */
    self.coordinator = other;
    pair_hello(&self);
    self.coordinator = kept;
    CHECK_STATUS(pair_read_hello(&self), WITAN_E_FORGED);

    /* The pinned transport key, but another signing key. */
    witan_public_identity pinned = *witan_identity_public(self.coordinator);
    memcpy(pinned.sign, witan_identity_public(other)->sign, WITAN_KEY_SIZE);
    witan_session_free(&self.at_client);
    CHECK_STATUS(witan_session_hello(&self.at_client, self.client, &pinned, self.psk,
                                     self.prologue, strlen(self.prologue), "hi", 2,
                                     self.hello, &self.hello_size),
                 WITAN_OK);
    CHECK_STATUS(pair_read_hello(&self), WITAN_OK);
    pair_welcome(&self);
    CHECK_STATUS(pair_read_welcome(&self), WITAN_E_FORGED);

    pair_hello(&self); /* another pre-shared key */
    CHECK_STATUS(pair_read_hello(&self), WITAN_OK);
    memcpy(psk, self.psk, sizeof psk);
    self.psk[31] ^= 1;
    pair_welcome(&self);
    CHECK_STATUS(pair_read_welcome(&self), WITAN_E_FORGED);
    memcpy(self.psk, psk, sizeof psk);

    /* A coordinator's transport key that is none. */
    memset(pinned.transport, 0, WITAN_KEY_SIZE);
    witan_session_free(&self.at_client);
    CHECK_STATUS(witan_session_hello(&self.at_client, self.client, &pinned, self.psk,
                                     "", 0, "", 0, self.hello, &self.hello_size),
                 WITAN_E_FORGED);
    CHECK(self.at_client == NULL && self.hello_size == 0);
    pair_open(&self);
    witan_identity_free(&other);
    pair_fini(&self);
}

static void
other_senders(void)
{
    uint8_t frame[PAIR_FRAME];
    pair self;

    pair_init(&self);
    pair_open(&self);
    pair_seal(self.at_client, frame);
    CHECK_STATUS(pair_take(self.at_coordinator, frame), WITAN_OK);
    self.at_client->own_id[0] ^= 1; /* rightly sealed, under another name */
    pair_seal(self.at_client, frame);
    CHECK_STATUS(pair_take(self.at_coordinator, frame), WITAN_E_FORGED);
    memset(self.at_client->own_id, 0, WITAN_KEY_ID_SIZE);
    pair_seal(self.at_client, frame);
    CHECK_STATUS(pair_take(self.at_coordinator, frame), WITAN_E_FORGED);

    self.enrolment = true; /* the first sender is the only one */
    pair_open(&self);
    CHECK(!self.at_coordinator->peer_known && self.at_client->peer_known);
    pair_seal(self.at_client, frame);
    frame[PAIR_FRAME - 1] ^= 1;
    CHECK_STATUS(pair_take(self.at_coordinator, frame), WITAN_E_FORGED);
    CHECK(!self.at_coordinator->peer_known);
    pair_seal(self.at_client, frame);
    CHECK_STATUS(pair_take(self.at_coordinator, frame), WITAN_OK);
    CHECK(self.at_coordinator->peer_known);
    self.at_client->own_id[7] ^= 1;
    pair_seal(self.at_client, frame);
    CHECK_STATUS(pair_take(self.at_coordinator, frame), WITAN_E_FORGED);
    pair_fini(&self);
}

int
main(void)
{
    CHECK_STATUS(witan_secure_start(NULL), WITAN_OK);
    witan_random_init(&random_stream, witan_test_seed(1), 0, 0, WITAN_PURPOSE_TEST);
    RUN(changed_data);
    RUN(changed_handshakes);
    RUN(replay_reorder_loss);
    RUN(epochs);
    RUN(cheap_checks_come_first);
    RUN(handshake_headers_have_one_form);
    RUN(splice_and_reflection);
    RUN(other_keys);
    RUN(other_senders);
    return witan_test_finish();
}
