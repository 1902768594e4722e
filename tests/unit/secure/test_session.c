/* test_session.c - handshake, envelopes, counters, rekeying: what must work. */
#include <inttypes.h>
#include <stdlib.h>

#include "pair.h"

#define SESSION "session.txt"

/* Random bytes that a test has laid out: the public functions draw what a golden vector
 * was made with. */
static uint8_t drawn[256];
static size_t drawn_size, drawn_at;

static const char *
laid_out_name(void)
{
    return "laid out";
}

static void
laid_out(void *const out, const size_t size)
{
    WITAN_ASSERT(size <= drawn_size - drawn_at);
    memcpy(out, drawn + drawn_at, size);
    drawn_at += size;
}

static uint32_t
laid_out_u32(void)
{
    uint32_t value;

    laid_out(&value, sizeof value);
    return value;
}

static void
lay_out(const char *name)
{
    vector bytes = vector_get(SESSION, name);

    memcpy(drawn + drawn_size, bytes.bytes, bytes.size);
    drawn_size += bytes.size;
}

static void
check_golden_frames(witan_session *from, witan_session *to, const char *way)
{
    uint8_t frame[VECTOR_MAX], plain[VECTOR_MAX];
    char name[32];

    for (int i = 0; i < 7; i++) {
        vector expected = vector_at(SESSION, "plain", i);
        vector round = vector_at(SESSION, "round", i);
        witan_envelope envelope;
        uint64_t number = 0;
        size_t size = 0;

        for (int k = 7; k >= 0; k--) {
            number = number << 8 | round.bytes[k];
        }
        CHECK_STATUS(
            witan_session_seal(from, 0, number, expected.bytes, expected.size, frame),
            WITAN_OK);
        (void)snprintf(name, sizeof name, "%s_%d", way, i);
        CHECK(vector_equals(SESSION, name, frame,
                            expected.size + WITAN_ENVELOPE_OVERHEAD));
        CHECK_STATUS(witan_envelope_read(&envelope, frame,
                                         expected.size + WITAN_ENVELOPE_OVERHEAD),
                     WITAN_OK);
        CHECK(envelope.round == number && envelope.sequence == (uint64_t)i + 1 &&
              envelope.type == WITAN_ENVELOPE_DATA && envelope.version == 1 &&
              envelope.ciphertext_size == expected.size);
        CHECK_STATUS(witan_session_open(to, frame,
                                        expected.size + WITAN_ENVELOPE_OVERHEAD, plain,
                                        &size),
                     WITAN_OK);
        CHECK(size == expected.size && memcmp(plain, expected.bytes, size) == 0);
    }
}

static void
golden_session(void)
{
    randombytes_implementation source = {
        .implementation_name = laid_out_name, .random = laid_out_u32, .buf = laid_out};
    vector prologue = vector_get(SESSION, "prologue"), psk = vector_get(SESSION, "psk");
    vector say = vector_get(SESSION, "hello_payload");
    uint8_t payload[WITAN_HANDSHAKE_PAYLOAD_MAX], transport[WITAN_KEY_SIZE];
    size_t size = 0;
    pair self;

    pair_init(&self);
    const witan_public_identity *client = witan_identity_public(self.client);
    lay_out("client_ephemeral");
    lay_out("session");
    lay_out("coordinator_ephemeral");
    randombytes_set_implementation(&source);
    CHECK_STATUS(witan_session_hello(&self.at_client, self.client,
                                     witan_identity_public(self.coordinator), psk.bytes,
                                     prologue.bytes, prologue.size, say.bytes, say.size,
                                     self.hello, &self.hello_size),
                 WITAN_OK);
    CHECK(vector_equals(SESSION, "hello", self.hello, self.hello_size));
    CHECK_STATUS(witan_session_read_hello(&self.at_coordinator, self.coordinator,
                                          prologue.bytes, prologue.size, self.hello,
                                          self.hello_size, payload, &size, transport),
                 WITAN_OK);
    CHECK(vector_equals(SESSION, "hello_payload", payload, size));
    CHECK(memcmp(transport, client->transport, sizeof transport) == 0);
    CHECK_STATUS(witan_session_welcome(self.at_coordinator, psk.bytes, client->sign,
                                       NULL, 0, self.welcome, &self.welcome_size),
                 WITAN_OK);
    randombytes_set_implementation(&randombytes_sysrandom_implementation);
    CHECK(drawn_at == drawn_size);
    CHECK(vector_equals(SESSION, "welcome", self.welcome, self.welcome_size));
    CHECK_STATUS(witan_session_read_welcome(self.at_client, self.welcome,
                                            self.welcome_size, payload, &size),
                 WITAN_OK);
    CHECK(size == 0);
    CHECK(vector_equals(SESSION, "session", witan_session_id(self.at_client), 16));
    CHECK(vector_equals(SESSION, "session", witan_session_id(self.at_coordinator), 16));
    CHECK(vector_equals(SESSION, "hash", witan_session_hash(self.at_client), 32));
    CHECK(vector_equals(SESSION, "hash", witan_session_hash(self.at_coordinator), 32));

    self.at_client->rekey_messages = vector_get(SESSION, "up_messages").bytes[0];
    self.at_coordinator->rekey_messages = vector_get(SESSION, "down_messages").bytes[0];
    check_golden_frames(self.at_client, self.at_coordinator, "up");
    check_golden_frames(self.at_coordinator, self.at_client, "down");
    pair_fini(&self);
}

static bool
all_zero(const void *bytes, size_t size)
{
    const uint8_t *at = bytes;
    uint8_t sum = 0;

    for (size_t i = 0; i < size; i++) {
        sum |= at[i];
    }
    return sum == 0;
}

static void
handshake_secrets_are_wiped(void)
{
    pair self;

    pair_init(&self);
    pair_open(&self);
    for (int i = 0; i < 2; i++) {
        witan_session *end = i == 0 ? self.at_client : self.at_coordinator;
        CHECK(all_zero(&end->noise, sizeof end->noise));
        CHECK(all_zero(end->psk, sizeof end->psk));
        CHECK(!all_zero(end->send.key, sizeof end->send.key));
    }
    pair_hello(&self);
    CHECK_STATUS(pair_read_hello(&self), WITAN_OK);
    pair_welcome(&self);
    self.welcome[self.welcome_size - 1] ^= 1;
    CHECK_STATUS(pair_read_welcome(&self), WITAN_E_FORGED);
    CHECK(all_zero(&self.at_client->noise, sizeof self.at_client->noise));
    CHECK(all_zero(self.at_client->psk, sizeof self.at_client->psk));
    CHECK(all_zero(self.at_client->send.key, WITAN_KEY_SIZE));
    pair_fini(&self);
}

static void
functions_need_their_state(void)
{
    uint8_t frame[PAIR_FRAME];
    pair self;

    pair_init(&self);
    pair_hello(&self);
    CHECK_STATUS(witan_session_seal(self.at_client, 0, 0, "data", 4, frame),
                 WITAN_E_STATE);
    memset(frame, 0, sizeof frame);
    CHECK_STATUS(pair_take(self.at_client, frame), WITAN_E_FORGED);
    CHECK_STATUS(witan_session_welcome(self.at_client, self.psk, self.psk, "", 0,
                                       self.welcome, &self.welcome_size),
                 WITAN_E_STATE);
    CHECK_STATUS(pair_read_hello(&self), WITAN_OK);
    CHECK_STATUS(witan_session_seal(self.at_coordinator, 0, 0, "data", 4, frame),
                 WITAN_E_STATE);
    pair_welcome(&self);
    CHECK_STATUS(witan_session_welcome(self.at_coordinator, self.psk, self.psk, "", 0,
                                       self.hello, &self.hello_size),
                 WITAN_E_STATE);
    CHECK_STATUS(pair_read_welcome(&self), WITAN_OK);
    CHECK_STATUS(pair_read_welcome(&self), WITAN_E_STATE);
    /* It is open all the same. */
    pair_seal(self.at_client, frame);
    CHECK_STATUS(pair_take(self.at_coordinator, frame), WITAN_OK);
    pair_fini(&self);
    witan_session_free(NULL);
}

static void
largest_payloads(void)
{
    static uint8_t payload[WITAN_HANDSHAKE_PAYLOAD_MAX],
        read[WITAN_HANDSHAKE_PAYLOAD_MAX];
    static uint8_t frame[WITAN_FRAME_MAX], plain[WITAN_FRAME_MAX];
    const size_t most = WITAN_FRAME_MAX - WITAN_ENVELOPE_OVERHEAD;
    uint8_t transport[WITAN_KEY_SIZE];
    size_t size = 0;
    pair self;

    pair_init(&self);
    randombytes_buf(payload, sizeof payload);
    CHECK_STATUS(witan_session_hello(&self.at_client, self.client,
                                     witan_identity_public(self.coordinator), self.psk,
                                     "", 0, payload, sizeof payload, self.hello,
                                     &self.hello_size),
                 WITAN_OK);
    CHECK(self.hello_size == WITAN_HANDSHAKE_FRAME_MAX);
    CHECK_STATUS(witan_session_read_hello(&self.at_coordinator, self.coordinator, "", 0,
                                          self.hello, self.hello_size, read, &size,
                                          transport),
                 WITAN_OK);
    CHECK(size == sizeof payload && memcmp(read, payload, size) == 0);
    CHECK_STATUS(witan_session_welcome(self.at_coordinator, self.psk,
                                       witan_identity_public(self.client)->sign,
                                       payload, sizeof payload, self.welcome,
                                       &self.welcome_size),
                 WITAN_OK);
    memset(read, 0, sizeof read);
    CHECK_STATUS(witan_session_read_welcome(self.at_client, self.welcome,
                                            self.welcome_size, read, &size),
                 WITAN_OK);
    CHECK(size == sizeof payload && memcmp(read, payload, size) == 0);

    randombytes_buf(plain, most);
    CHECK_STATUS(witan_session_seal(self.at_client, 0, 5, plain, most, frame),
                 WITAN_OK);
    /* In place of the ciphertext. */
    CHECK_STATUS(witan_session_open(self.at_coordinator, frame, WITAN_FRAME_MAX,
                                    frame + WITAN_ENVELOPE_HEADER, &size),
                 WITAN_OK);
    CHECK(size == most && memcmp(frame + WITAN_ENVELOPE_HEADER, plain, most) == 0);
    CHECK_STATUS(witan_session_seal(self.at_client, 0, 5, NULL, 0, frame), WITAN_OK);
    CHECK_STATUS(witan_session_open(self.at_coordinator, frame, WITAN_ENVELOPE_OVERHEAD,
                                    plain, &size),
                 WITAN_OK);
    CHECK(size == 0);
    pair_fini(&self);
}

static uint32_t
epoch_of(const uint8_t *frame)
{
    witan_envelope envelope;

    CHECK_STATUS(witan_envelope_read(&envelope, frame, PAIR_FRAME), WITAN_OK);
    return envelope.epoch;
}

static uint32_t
seal_at(pair *self, uint64_t now_ms)
{
    uint8_t frame[PAIR_FRAME];

    CHECK_STATUS(witan_session_seal(self->at_client, now_ms, 0, "data", 4, frame),
                 WITAN_OK);
    CHECK_STATUS(pair_take(self->at_coordinator, frame), WITAN_OK);
    return epoch_of(frame);
}

static void
rekeys_at_each_limit(void)
{
    pair self;

    pair_init(&self);
    pair_open(&self);
    CHECK(self.at_client->rekey_messages == 65536 &&
          self.at_client->rekey_bytes == 1073741824 &&
          self.at_client->rekey_age_ms == 3600000);
    self.at_client->rekey_messages = 3; /* by messages */
    for (uint32_t i = 0; i < 10; i++) {
        CHECK(seal_at(&self, 0) == i / 3);
    }
    pair_open(&self);
    self.at_client->rekey_bytes = 8; /* two messages of 4 bytes */
    for (uint32_t i = 0; i < 10; i++) {
        CHECK(seal_at(&self, 0) == i / 2);
    }
    pair_open(&self); /* by age, which begins with the first message */
    const uint64_t begin = 5000, hour = 3600000;
    CHECK(seal_at(&self, begin) == 0);
    CHECK(seal_at(&self, begin + hour - 1) == 0);
    CHECK(seal_at(&self, begin + hour) == 1);
    CHECK(seal_at(&self, begin) == 1); /* a clock that jumps back */
    CHECK(seal_at(&self, begin + 2 * hour - 1) == 1);
    CHECK(seal_at(&self, begin + 2 * hour) == 2);
    pair_fini(&self);
}

static void
counters_end(void)
{
    uint8_t frame[PAIR_FRAME];
    pair self;

    pair_init(&self);
    pair_open(&self);
    self.at_client->send.sequence = UINT64_MAX - 1;
    CHECK(seal_at(&self, 0) == 0);
    CHECK_STATUS(witan_session_seal(self.at_client, 0, 0, "data", 4, frame),
                 WITAN_E_STATE);
    pair_open(&self);
    self.at_client->send.epoch = UINT32_MAX;
    CHECK_STATUS(witan_session_seal(self.at_client, 0, 0, "data", 4, frame),
                 WITAN_E_STATE);
    pair_fini(&self);
}

static int
compare_digests(const void *a, const void *b)
{
    return memcmp(a, b, 16);
}

/* What encrypts is (key, sequence): over many epochs, both ways, no pair comes twice.
 */
static void
no_key_meets_a_counter_twice(void)
{
    enum {
        MESSAGES = 50000
    };
    uint8_t(*seen)[16] = calloc(2 * MESSAGES, sizeof *seen);
    uint8_t frame[PAIR_FRAME], pair_bytes[WITAN_KEY_SIZE + 8];
    size_t count = 0, repeated = 0;
    pair self;

    pair_init(&self);
    pair_open(&self);
    self.at_client->rekey_messages = 7;
    self.at_coordinator->rekey_messages = 11;
    for (int i = 0; i < MESSAGES; i++) {
        for (int way = 0; way < 2; way++) {
            witan_session *from = way == 0 ? self.at_client : self.at_coordinator;
            witan_session *to = way == 0 ? self.at_coordinator : self.at_client;
            pair_seal(from, frame);
            memcpy(pair_bytes, from->send.key, WITAN_KEY_SIZE);
            memcpy(pair_bytes + WITAN_KEY_SIZE, frame + 24, 8);
            crypto_generichash(seen[count++], 16, pair_bytes, sizeof pair_bytes, NULL,
                               0);
            if (pair_take(to, frame) != WITAN_OK) {
                CHECK(!"the receiver follows");
            }
        }
    }
    CHECK(self.at_client->send.epoch == (MESSAGES - 1) / 7);
    CHECK(self.at_client->receive.epoch == (MESSAGES - 1) / 11);
    qsort(seen, count, sizeof *seen, compare_digests);
    for (size_t i = 1; i < count; i++) {
        repeated += memcmp(seen[i - 1], seen[i], sizeof *seen) == 0;
    }
    CHECK(count == 2 * MESSAGES && repeated == 0);
    free(seen);
    pair_fini(&self);
}

static void
headers_and_alerts(void)
{
    vector golden = vector_get(SESSION, "alert");
    uint8_t frame[WITAN_ALERT_FRAME + 100] = {0};
    witan_envelope envelope;
    witan_alert alert;

    witan_alert_write(frame, WITAN_ALERT_NO_SESSION);
    CHECK(golden.size == WITAN_ALERT_FRAME &&
          memcmp(frame, golden.bytes, golden.size) == 0);
    for (int code = 0; code < 256; code++) {
        bool known = code >= WITAN_ALERT_NO_SESSION && code <= WITAN_ALERT_BUSY;
        frame[WITAN_ENVELOPE_HEADER] = (uint8_t)code;
        CHECK_STATUS(witan_alert_read(&alert, frame, WITAN_ALERT_FRAME),
                     known ? WITAN_OK : WITAN_E_DATA);
        CHECK(!known || (int)alert == code);
    }
    witan_alert_write(frame, WITAN_ALERT_VERSION);
    frame[4] = 9; /* from a newer version */
    CHECK_STATUS(witan_alert_read(&alert, frame, WITAN_ALERT_FRAME), WITAN_OK);
    CHECK_STATUS(witan_alert_read(&alert, frame, WITAN_ALERT_FRAME - 1), WITAN_E_DATA);
    CHECK_STATUS(witan_alert_read(&alert, frame, WITAN_ALERT_FRAME + 1), WITAN_E_DATA);

    vector data = vector_get(SESSION, "up_1");
    CHECK_STATUS(witan_alert_read(&alert, data.bytes, data.size), WITAN_E_DATA);
    data.bytes[4] = 2;
    CHECK_STATUS(witan_envelope_read(&envelope, data.bytes, data.size),
                 WITAN_E_UNSUPPORTED);
    CHECK(envelope.version == 2);
    data.bytes[4] = 1;
    data.bytes[5] = 2;
    CHECK_STATUS(witan_envelope_read(&envelope, data.bytes, data.size),
                 WITAN_E_UNSUPPORTED);
    data.bytes[5] = 1;
    data.bytes[6] = 5;
    CHECK_STATUS(witan_envelope_read(&envelope, data.bytes, data.size), WITAN_E_DATA);
    data.bytes[6] = 0;
    CHECK_STATUS(witan_envelope_read(&envelope, data.bytes, data.size), WITAN_E_DATA);
    data.bytes[6] = 3;
    data.bytes[7] = 1;
    CHECK_STATUS(witan_envelope_read(&envelope, data.bytes, data.size), WITAN_E_DATA);
    data.bytes[7] = 0;
    for (size_t size = 0; size < data.size; size++) {
        CHECK_STATUS(witan_envelope_read(&envelope, data.bytes, size), WITAN_E_DATA);
    }
    CHECK_STATUS(witan_envelope_read(&envelope, data.bytes, data.size), WITAN_OK);
    CHECK(envelope.epoch == 0 &&
          memcmp(envelope.session, vector_get(SESSION, "session").bytes, 16) == 0 &&
          memcmp(envelope.sender, vector_get("keys.txt", "client_id").bytes, 8) == 0);

    uint8_t *large = calloc(1, WITAN_FRAME_MAX + 1);
    memcpy(large, data.bytes, WITAN_ENVELOPE_HEADER);
    for (size_t size = WITAN_FRAME_MAX; size <= WITAN_FRAME_MAX + 1; size++) {
        size_t sealed = size - WITAN_ENVELOPE_OVERHEAD;
        large[52] = (uint8_t)sealed;
        large[53] = (uint8_t)(sealed >> 8);
        large[54] = (uint8_t)(sealed >> 16);
        CHECK_STATUS(witan_envelope_read(&envelope, large, size),
                     size <= WITAN_FRAME_MAX ? WITAN_OK : WITAN_E_DATA);
    }
    free(large);
}

int
main(void)
{
    CHECK_STATUS(witan_secure_start(NULL), WITAN_OK);
    RUN(golden_session);
    RUN(handshake_secrets_are_wiped);
    RUN(functions_need_their_state);
    RUN(largest_payloads);
    RUN(rekeys_at_each_limit);
    RUN(counters_end);
    RUN(no_key_meets_a_counter_twice);
    RUN(headers_and_alerts);
    return witan_test_finish();
}
