/* test_identity.c - key files, signatures, key ids, fingerprints. */
#include "secure/identity.h"

#include "vectors.h"

#define KEYS "keys.txt"

static witan_identity *
load(const char *name)
{
    vector file = vector_get(KEYS, name);
    witan_identity *self = NULL;

    CHECK_STATUS(witan_identity_parse(&self, (const char *)file.bytes, file.size, NULL),
                 WITAN_OK);
    return self;
}

static void
reads_and_writes_the_golden_file(void)
{
    witan_identity *self = load("coordinator_file");
    const witan_public_identity *public = witan_identity_public(self);
    char file[WITAN_KEY_FILE_MAX];
    size_t size = 0;
    uint8_t id[WITAN_KEY_ID_SIZE];

    CHECK(vector_equals(KEYS, "coordinator_sign", public->sign, WITAN_KEY_SIZE));
    CHECK(vector_equals(KEYS, "coordinator_transport", public->transport,
                        WITAN_KEY_SIZE));
    CHECK(vector_equals(KEYS, "coordinator_secret",
                        witan_identity_transport_secret(self), WITAN_KEY_SIZE));
    witan_key_id(id, public->sign);
    CHECK(vector_equals(KEYS, "coordinator_id", id, sizeof id));
    witan_identity_format(self, file, &size);
    CHECK(vector_equals(KEYS, "coordinator_file", file, size));
    witan_identity_free(&self);
    CHECK(self == NULL);
    witan_identity_free(&self);
    witan_identity_free(NULL);
}

static void
fresh_keys_differ_and_survive_a_file(void)
{
    witan_identity *a = NULL, *b = NULL, *again = NULL;
    char file[WITAN_KEY_FILE_MAX];
    size_t size;
    witan_public_identity before;

    CHECK_STATUS(witan_identity_new(&a), WITAN_OK);
    CHECK_STATUS(witan_identity_new(&b), WITAN_OK);
    before = *witan_identity_public(a);
    CHECK(memcmp(&before, witan_identity_public(b), sizeof before) != 0);
    witan_identity_format(a, file, &size);
    CHECK_STATUS(witan_identity_parse(&again, file, size, NULL), WITAN_OK);
    CHECK(memcmp(&before, witan_identity_public(again), sizeof before) == 0);

    CHECK_STATUS(witan_identity_rotate(a), WITAN_OK);
    CHECK(memcmp(before.sign, witan_identity_public(a)->sign, WITAN_KEY_SIZE) == 0);
    CHECK(memcmp(before.transport, witan_identity_public(a)->transport,
                 WITAN_KEY_SIZE) != 0);
    uint8_t transport[WITAN_KEY_SIZE];
    CHECK(crypto_scalarmult_base(transport, witan_identity_transport_secret(a)) == 0);
    CHECK(memcmp(transport, witan_identity_public(a)->transport, WITAN_KEY_SIZE) == 0);
    witan_identity_free(&a);
    witan_identity_free(&b);
    witan_identity_free(&again);
}

/* A refusal names no run of eight characters of the content below the first line. */
static void
check_refused(const char *file, size_t size, const char *content)
{
    witan_identity *self = NULL;
    witan_diag diag = {0};
    char part[9] = {0};

    CHECK_STATUS(witan_identity_parse(&self, file, size, &diag), WITAN_E_DATA);
    CHECK(self == NULL && diag.message[0] != '\0');
    for (size_t i = 0; i + 8 <= strlen(content); i++) {
        memcpy(part, content + i, 8);
        if (strstr(diag.message, part) != NULL) {
            CHECK(!"a message with bytes of a key");
        }
    }
}

static void
refuses_every_cut_and_flip(void)
{
    vector good = vector_get(KEYS, "client_file");
    const char *content = (const char *)good.bytes + 19;

    for (size_t size = 0; size < good.size; size++) {
        check_refused((const char *)good.bytes, size, content);
    }
    for (size_t bit = 0; bit < 8 * good.size; bit++) {
        vector bad = good;
        bad.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        check_refused((const char *)bad.bytes, bad.size, content);
    }
    /* Other characters too: a flip never turns '=' into 'A'. */
    for (size_t at = 0; at < good.size; at++) {
        for (int c = 0; c < 256; c++) {
            vector bad = good;
            bad.bytes[at] = (uint8_t)c;
            if (c != good.bytes[at] && (c == 'A' || c == '=' || c == ' ' || c == 0)) {
                check_refused((const char *)bad.bytes, bad.size, content);
            }
        }
    }
}

static void
refuses_other_files(void)
{
    vector good = vector_get(KEYS, "client_file");
    char file[WITAN_KEY_FILE_MAX] = {0};
    witan_identity *self = NULL;
    witan_diag diag = {0};

    /* Something behind it, as from an editor. */
    memcpy(file, good.bytes, good.size);
    file[good.size] = '\n';
    check_refused(file, good.size + 1, "");
    check_refused(file, sizeof file, "");

    CHECK_STATUS(witan_identity_parse(&self, "hello, this is text\n", 20, &diag),
                 WITAN_E_DATA);
    CHECK_CONTAINS(diag.message, "no key file");
    diag = (witan_diag){0};
    file[17] = '2';
    CHECK_STATUS(witan_identity_parse(&self, file, good.size, &diag), WITAN_E_DATA);
    CHECK_CONTAINS(diag.message, "version");
    diag = (witan_diag){0};
    file[17] = '1';
    CHECK_STATUS(witan_identity_parse(&self, file, good.size - 1, &diag), WITAN_E_DATA);
    CHECK_CONTAINS(diag.message, "damaged");
    CHECK_STATUS(witan_identity_parse(&self, file, 3, NULL), WITAN_E_DATA);
}

/* The file of an unclamped key with a right checksum: no file that we ever wrote. */
static void
refuses_an_unclamped_key(void)
{
    static const char first[] = "WITAN-SECRET-KEY-1\n";
    uint8_t keys[64] = {0}, bytes[sizeof first - 1 + 64], sum[32];
    char file[WITAN_KEY_FILE_MAX];
    witan_identity *self = NULL;

    for (int clamped = 0; clamped < 2; clamped++) {
        keys[63] = clamped ? 64 : 0;
        memcpy(bytes, first, sizeof first - 1);
        memcpy(bytes + sizeof first - 1, keys, 64);
        crypto_generichash(sum, 32, bytes, sizeof bytes, NULL, 0);
        memcpy(file, first, sizeof first - 1);
        char *at = file + sizeof first - 1;
        sodium_bin2base64(at, 89, keys, 64, sodium_base64_VARIANT_ORIGINAL);
        at[88] = '\n';
        sodium_bin2base64(at + 89, 33, sum, 24, sodium_base64_VARIANT_ORIGINAL);
        at[89 + 32] = '\n';
        CHECK_STATUS(
            witan_identity_parse(&self, file, sizeof first - 1 + 89 + 33, NULL),
            clamped ? WITAN_OK : WITAN_E_DATA);
        witan_identity_free(&self);
    }
}

static void
signs_for_one_purpose(void)
{
    witan_identity *self = load("client_file");
    const uint8_t *sign = witan_identity_public(self)->sign;
    vector domain = vector_get(KEYS, "domain"), message = vector_get(KEYS, "message");
    const char *purpose = (const char *)domain.bytes;
    uint8_t signature[WITAN_SIGNATURE_SIZE], other[WITAN_KEY_SIZE];

    witan_identity_sign(self, purpose, message.bytes, message.size, signature);
    CHECK(vector_equals(KEYS, "signature", signature, sizeof signature));
    CHECK(witan_signature_valid(sign, purpose, message.bytes, message.size, signature));
    CHECK(!witan_signature_valid(sign, "WITAN-upload-v2", message.bytes, message.size,
                                 signature));
    CHECK(!witan_signature_valid(sign, purpose, message.bytes, message.size - 1,
                                 signature));
    /* The border between domain and message is part of what is signed. */
    witan_identity_sign(self, "ab", "c", 1, signature);
    CHECK(witan_signature_valid(sign, "ab", "c", 1, signature));
    CHECK(!witan_signature_valid(sign, "a", "bc", 2, signature));
    witan_identity_sign(self, "ab", NULL, 0, signature);
    CHECK(witan_signature_valid(sign, "ab", NULL, 0, signature));
    for (size_t bit = 0; bit < 8 * sizeof signature; bit++) {
        signature[bit / 8] ^= (uint8_t)(1 << bit % 8);
        CHECK(!witan_signature_valid(sign, "ab", NULL, 0, signature));
        signature[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    memset(other, 0, sizeof other);
    CHECK(!witan_signature_valid(other, "ab", NULL, 0, signature));
    witan_identity_free(&self);
}

static void
fingerprints_are_words_over_both(void)
{
    witan_identity *coordinator = load("coordinator_file"),
                   *client = load("client_file");
    witan_public_identity changed = *witan_identity_public(client);
    char words[WITAN_FINGERPRINT_MAX], other[WITAN_FINGERPRINT_MAX];

    witan_fingerprint(words, witan_identity_public(coordinator), &changed);
    CHECK(vector_equals(KEYS, "fingerprint", words, strlen(words)));
    CHECK(strlen(words) == 35);
    witan_fingerprint(other, &changed, witan_identity_public(coordinator));
    CHECK(vector_equals(KEYS, "fingerprint_swapped", other, strlen(other)));
    changed.transport[31] ^= 1;
    witan_fingerprint(other, witan_identity_public(coordinator), &changed);
    CHECK(strcmp(words, other) != 0);
    witan_identity_free(&coordinator);
    witan_identity_free(&client);
}

int
main(void)
{
    CHECK_STATUS(witan_secure_start(NULL), WITAN_OK);
    RUN(reads_and_writes_the_golden_file);
    RUN(fresh_keys_differ_and_survive_a_file);
    RUN(refuses_every_cut_and_flip);
    RUN(refuses_other_files);
    RUN(refuses_an_unclamped_key);
    RUN(signs_for_one_purpose);
    RUN(fingerprints_are_words_over_both);
    return witan_test_finish();
}
